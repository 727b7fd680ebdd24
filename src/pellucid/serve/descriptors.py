"""File descriptors: raises their limit, and derives the number of connections from it."""

from __future__ import annotations

import resource

from pellucid.errors import SettingsError
from pellucid.settings.model import SettingsTree
from pellucid.wiring.values import outgoing_descriptors

_WANTED = 65_536
"""The soft limit is raised to this, if the hard limit allows it. The 1,024 of a shell are too few: one hostile client
may open as many sockets. The hard limit of some systems, a billion, slows down programs that close all descriptors.
"""

_LOW = 4096
"""A limit below this is logged."""

_FILES = 512
"""Reserved for files of the store (128 at a time), uploads that are received (100), pipes to render processes,
databases and other files (64 threads).
"""

_OUTGOING = 256
"""Reserved for sockets to origins, webhooks and name servers, unless the settings need more."""

_MAX_CONNECTIONS = 4096
_MIN_CONNECTIONS = 64


def raise_limit() -> int:
    """Raise the soft limit of this process and of its children. Returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _WANTED if soft == resource.RLIM_INFINITY else soft


def is_low(limit: int) -> bool:
    """Whether `limit` reduces the number of connections of a web process."""
    return limit < _LOW + _FILES + _OUTGOING


def connections_within(limit: int, settings: SettingsTree) -> int:
    """The number of connections of a web process with `limit` descriptors. Raises SettingsError if it is too low, or
    lower than `web.connections`.
    """
    outgoing = max(_OUTGOING, outgoing_descriptors(settings))
    room = limit - _FILES - outgoing
    if room < _MIN_CONNECTIONS:
        raise SettingsError(
            f"a process may open {limit} files, at least {_MIN_CONNECTIONS + _FILES + outgoing} are needed "
            f"({_FILES} for files and pipes, {outgoing} for origins): raise the hard limit (`ulimit -Hn`, LimitNOFILE= "
            "of systemd, --ulimit nofile= of docker)"
        )
    wanted = settings.web.connections
    if wanted is None:
        return min(_MAX_CONNECTIONS, room)
    if wanted > room:
        raise SettingsError(
            f"PELLUCID_WEB_CONNECTIONS is {wanted}, but a process may open {limit} files and needs {_FILES + outgoing} "
            f"for others: set it to {room} or less, or raise the hard limit (`ulimit -Hn`)"
        )
    return wanted
