"""Configuration of the C library's allocator."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20


def give_large_blocks_back() -> None:
    """Make malloc return every block of 1 MiB and more to the system when it is freed.

    glibc does so at first. But after each free it allocates blocks of that size, up to 32 MB, from its heap, where
    freed memory below a used block is kept: 24 bodies of 20 MB, of which three existed at a time, left 300 MB. Does
    nothing with another allocator.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
