"""The settings file, read whole or refused in one sentence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pellucid.errors import SettingsError

_MAX_BYTES = 1 << 20
"""A file of settings has thousands of bytes. What has more is another file, or a device that never ends."""

_AT_THE_END = " (at end of document)"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of the TOML file at `path`, which may be a pipe. Raises SettingsError that says where it is wrong."""
    data = _read(path)
    try:
        return tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"it is not UTF-8 text (line {line})") from error
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, f"it is not TOML: {_say(error, data.decode('utf-8-sig'))}") from error
    except ValueError as error:
        raise _unreadable(path, "a number in it has more digits than can be read") from error
    except RecursionError as error:
        raise _unreadable(path, "it is nested too deeply") from error


def _read(path: Path) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise _unreadable(path, "it is not there") from error
    except IsADirectoryError as error:
        raise _unreadable(path, "it is a folder") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except RuntimeError as error:  # `~` of a user without one
        raise _unreadable(path, "this user has no home folder") from error
    if len(data) > _MAX_BYTES:
        raise _unreadable(path, f"it has more than {_MAX_BYTES >> 20} MiB")
    return data


def _unreadable(path: Path, why: str) -> SettingsError:
    return SettingsError(f"the settings file {path} cannot be read: {why}")


def _say(error: tomllib.TOMLDecodeError, text: str) -> str:
    """What is wrong and where, always with its line and column."""
    said = str(error)
    if said.endswith(_AT_THE_END):
        before = text.rstrip()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        said = f"{said.removesuffix(_AT_THE_END)} (at line {line}, column {column}, the end of the file)"
    said = said.replace("Cannot overwrite a value", "a name is set for the second time")
    # ('origin', 'limits') is how the parser names a table.
    said = re.sub(r"\(('[^)]*)\)", lambda found: "[" + ".".join(re.findall(r"'([^']*)'", found[1])) + "]", said)
    return said[0].lower() + said[1:]
