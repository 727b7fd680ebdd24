"""Origins that are local files, read with the same answers as those of the web."""

from __future__ import annotations

import errno
import os
import stat
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


def read_file(
    location: FileLocation, *, validators: Validators, max_bytes: int, fresh_s: float
) -> Fetched | NotModified:
    """The file, or NotModified when it still has `validators` (made from size, inode and modification time).

    Only regular files that lie in the folder after every symbolic link is followed. Blocking: for a thread. Raises
    OriginNotFoundError, OriginForbiddenError, OriginTooLargeError, OriginUnreachableError, BusyError.
    """
    missing = "the folder has no such file"
    try:
        root = location.root.resolve(strict=True)
        path = (root / location.relative).resolve(strict=True)
        if not path.is_relative_to(root):
            raise OriginNotFoundError(missing)
        # The path is free of links now; O_NOFOLLOW and O_NONBLOCK keep a file that is swapped for a link or a pipe in
        # between from leading elsewhere or blocking the thread.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return _read(file, validators, max_bytes, fresh_s, url=location.public_name)
    except PermissionError as error:
        raise OriginForbiddenError("the server may not read that file") from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, RuntimeError) as error:
        # Path.resolve raises RuntimeError for links in a circle.
        raise OriginNotFoundError(missing) from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise BusyError("this server has no descriptor left to read files with") from error
        raise OriginUnreachableError("the file cannot be read") from error


def _read(file: BinaryIO, validators: Validators, max_bytes: int, fresh_s: float, *, url: str) -> Fetched | NotModified:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise OriginNotFoundError("the folder has no such file")
    current = Validators(etag=f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"')
    if current == validators:
        return NotModified(validators=current, fresh_s=fresh_s)
    body = file.read(max_bytes + 1) if status.st_size <= max_bytes else None
    if body is None or len(body) > max_bytes:
        raise OriginTooLargeError(f"the file has more than {max_bytes} bytes")
    return Fetched(body=body, validators=current, fresh_s=fresh_s, content_type=None, url=url)
