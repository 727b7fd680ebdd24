"""The C library's allocator, told to give large blocks back."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20


def give_large_blocks_back() -> None:
    """Have each block of 1 MiB and more returned to the system when it is freed.

    glibc begins so, but whenever one is freed it takes the next ones of that size, up to 32 MB, from its heap, where
    what is freed stays behind what is not: 24 bodies of 20 MB, of which three are there at a time, left 300 MB. Does
    nothing where there is another allocator.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
