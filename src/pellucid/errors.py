"""Every error Pellucid raises on purpose. Statuses live in `http.problems` alone.

PellucidError
├── SpecError              the URL asks for something impossible
│   ├── BadValueError      a known parameter with a value outside its grammar
│   └── BadOriginError     the path names no origin
│       └── NoSuchPageError    and looks like a page of a web server
├── OriginError            the origin could not be had
│   ├── OriginNotFoundError
│   ├── OriginForbiddenError
│   ├── OriginRefusedError     this server does not fetch from there
│   ├── OriginTimeoutError
│   ├── OriginTooLargeError
│   ├── OriginUnreachableError
│   └── LoopDetectedError      its URL leads back to this server
├── ImageError             the origin's bytes are no usable picture
│   ├── EmptyOriginError       there are none
│   ├── UnsupportedFormatError
│   ├── DamagedImageError      they are cut short or corrupt
│   └── ImageLimitError
├── CutoutError            no matte could be made
│   ├── ModelUnavailableError  weights missing or damaged
│   └── DeviceUnavailableError
├── RenderError            pixels could not be made although the origin is sound
├── BusyError              try again later
├── UploadError            what was sent here cannot be taken
│   ├── NotRawUploadError      a form, not the picture's bytes
│   ├── UploadTooLargeError
│   ├── UploadTimeoutError
│   └── UploadLimitError       its sender has sent as much as they may for now
├── StoreError             the disk or bucket failed
├── WorkerNameError        a living worker has that name
├── DatabaseError          the database failed
│   ├── DatabaseAwayError      it cannot be reached
│   ├── DatabaseBusyError      another process keeps it locked
│   ├── DatabaseDamagedError   its file is none any more
│   └── DatabaseSchemaError    it was written by a newer Pellucid
├── AuthenticationError         the request is in nobody's name, or asks for more than its key allows
└── SettingsError          the configuration is wrong
"""

from __future__ import annotations

_SHOWN = 100
"""Characters of a bad value that are repeated to its sender and in the log."""


class PellucidError(Exception):
    """Base of all. `str(error)` is public: it never holds addresses or secrets of the server."""


class SpecError(PellucidError):
    """The URL asks for something impossible."""


class BadValueError(SpecError):
    """A known parameter has a value outside its grammar."""

    def __init__(self, *, parameter: str, value: str, grammar: str) -> None:
        value = value if len(value) <= _SHOWN else value[:_SHOWN] + "..."
        super().__init__(f"{parameter}={value!r} is not valid: {grammar}")
        self.parameter = parameter
        self.value = value
        self.grammar = grammar


class BadOriginError(SpecError):
    """The path names no origin."""


class NoSuchPageError(BadOriginError):
    """The path names no origin: it is one that browsers and robots try at every web server."""


class OriginError(PellucidError):
    """The origin could not be had."""


class OriginNotFoundError(OriginError):
    """The origin answered that there is nothing."""


class OriginForbiddenError(OriginError):
    """The origin refused to give the picture to us."""


class OriginRefusedError(OriginError):
    """This server does not fetch from there: private network, port, host or redirect outside the rules."""


class OriginTimeoutError(OriginError):
    """The origin did not answer in time."""


class OriginTooLargeError(OriginError):
    """The origin sends more bytes than allowed."""


class OriginUnreachableError(OriginError):
    """No connection, a broken answer, or a server error of the origin."""


class LoopDetectedError(OriginError):
    """The request came through this server before, or through too many like it."""


class ImageError(PellucidError):
    """The origin's bytes are no usable picture."""


class EmptyOriginError(ImageError):
    """The origin is there and has no bytes."""


class UnsupportedFormatError(ImageError):
    """Not an image, or of a format Pellucid does not read."""


class DamagedImageError(ImageError):
    """A file that is cut short or corrupt: nothing of it can be shown, or what can is not good enough."""


class ImageLimitError(ImageError):
    """More pixels than allowed."""


class CutoutError(PellucidError):
    """No matte could be made."""


class ModelUnavailableError(CutoutError):
    """The model's weights are missing or damaged."""


class DeviceUnavailableError(CutoutError):
    """The device asked for is not there, and falling back was not allowed."""


class RenderError(PellucidError):
    """Pixels could not be made although the origin is sound."""


class BusyError(PellucidError):
    """Too much to do at the moment; `retry_after_s` says when to come back."""

    def __init__(self, message: str, *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UploadError(PellucidError):
    """What was sent here cannot be taken."""


class NotRawUploadError(UploadError):
    """A form was sent, not the picture's bytes."""


class UploadTooLargeError(UploadError):
    """More bytes than allowed."""


class UploadTimeoutError(UploadError):
    """The bytes came too slowly."""


class UploadLimitError(UploadError):
    """This client has sent as much as it may for now; `retry_after_s` says when to come back."""

    def __init__(self, message: str, *, retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreError(PellucidError):
    """The disk or bucket failed."""


class WorkerNameError(PellucidError):
    """A living worker has that name."""


class AuthenticationError(PellucidError):
    """The request is in nobody's name, or asks for what only the holder of a key may have."""


class DatabaseError(PellucidError):
    """The database failed."""


class DatabaseAwayError(DatabaseError):
    """The database cannot be reached. Whoever asks again later may find it."""


class DatabaseBusyError(DatabaseError):
    """Another process keeps the database locked: it is free again later."""


class DatabaseDamagedError(DatabaseError):
    """The file is no database, or none of ours, any more."""


class DatabaseSchemaError(DatabaseError):
    """The database was written by a newer Pellucid."""


class SettingsError(PellucidError):
    """The configuration is wrong; the message says what and how to mend it."""


PERMANENT_ERRORS = (
    SettingsError,
    ModelUnavailableError,
    DeviceUnavailableError,
    DatabaseSchemaError,
)
"""What stands in the way of every next start until somebody changes something; all else may be over by then."""
