"""Origins that are local files, read with the same answers as those of the web."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from typing import BinaryIO

from pellucid.errors import (
    BusyError,
    OriginForbiddenError,
    OriginNotFoundError,
    OriginTooLargeError,
    OriginUnreachableError,
)
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.location import FileLocation

_MISSING = "the folder has no such file"


def check_file(location: FileLocation, *, validators: Validators, max_bytes: int, fresh_s: float) -> int | NotModified:
    """The size of the file, or NotModified when it still has `validators`. Raises what `read_file` raises."""
    with _opened(location) as file:
        status = _status(file, max_bytes)
        current = _validators(status)
        return NotModified(validators=current, fresh_s=fresh_s) if current == validators else status.st_size


def read_file(location: FileLocation, *, max_bytes: int, fresh_s: float) -> Fetched:
    """The file, with validators made from size, inode and modification time.

    Only regular files that lie in the folder after every symbolic link is followed. Blocking: for a thread. Raises
    OriginNotFoundError, OriginForbiddenError, OriginTooLargeError, OriginUnreachableError, BusyError.
    """
    with _opened(location) as file:
        current = _validators(_status(file, max_bytes))
        body = file.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return Fetched(body=body, validators=current, fresh_s=fresh_s, content_type=None, url=location.public_name)


@contextmanager
def _opened(location: FileLocation) -> Generator[BinaryIO]:
    try:
        root = location.root.resolve(strict=True)
        path = (root / location.relative).resolve(strict=True)
        if not path.is_relative_to(root):
            raise OriginNotFoundError(_MISSING)
        # The path is free of links now; O_NOFOLLOW and O_NONBLOCK keep a file that is swapped for a link or a pipe in
        # between from leading elsewhere or blocking the thread.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            yield file
    except PermissionError as error:
        raise OriginForbiddenError("the server may not read that file") from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, RuntimeError) as error:
        # Path.resolve raises RuntimeError for links in a circle.
        raise OriginNotFoundError(_MISSING) from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise BusyError("this server has no descriptor left to read files with") from error
        raise OriginUnreachableError("the file cannot be read") from error


def _status(file: BinaryIO, max_bytes: int) -> os.stat_result:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise OriginNotFoundError(_MISSING)
    if status.st_size > max_bytes:
        raise _too_large(max_bytes)
    return status


def _validators(status: os.stat_result) -> Validators:
    return Validators(etag=f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"')


def _too_large(max_bytes: int) -> OriginTooLargeError:
    return OriginTooLargeError(f"the file has more than {max_bytes} bytes")
