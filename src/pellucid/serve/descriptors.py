"""File descriptors: as many as the system gives, and enough of them kept for what must go on."""

from __future__ import annotations

import resource

from pellucid.errors import SettingsError
from pellucid.settings.model import SettingsTree
from pellucid.wiring.values import outgoing_descriptors

_WANTED = 65_536
"""The soft limit is raised to this, where the hard one lets us. A shell's 1,024 are fewer than one neighbour's sockets;
some systems' hard limit of a milliard makes programs slow that close all there could be."""

_LOW = 4096
"""A limit below this is worth a line in the log."""

_FILES = 512
"""In reserve for the store's files (128 at a time), uploads being received (100), pipes to render processes, databases,
other files (64 threads).
"""

_OUTGOING = 256
"""In reserve for sockets to origins, webhooks and name servers, where the settings ask for no more."""

_MOST_CONNECTIONS = 4096
_FEWEST_CONNECTIONS = 64


def raise_limit() -> int:
    """Raise the soft limit of this process and of those that it starts; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _WANTED if soft == resource.RLIM_INFINITY else soft


def is_low(limit: int) -> bool:
    """Whether `limit` makes a web process serve fewer connections than it might."""
    return limit < _LOW + _FILES + _OUTGOING


def connections_within(limit: int, settings: SettingsTree) -> int:
    """The connections that a web process takes with `limit` descriptors. Raises SettingsError when these are too few,
    or fewer than `web.connections` asks for.
    """
    outgoing = max(_OUTGOING, outgoing_descriptors(settings))
    room = limit - _FILES - outgoing
    if room < _FEWEST_CONNECTIONS:
        raise SettingsError(
            f"a process may open {limit} files, at least {_FEWEST_CONNECTIONS + _FILES + outgoing} are needed "
            f"({_FILES} for files and pipes, {outgoing} for origins): raise the hard limit (`ulimit -Hn`, LimitNOFILE= "
            "of systemd, --ulimit nofile= of docker)"
        )
    wanted = settings.web.connections
    if wanted is None:
        return min(_MOST_CONNECTIONS, room)
    if wanted > room:
        raise SettingsError(
            f"PELLUCID_WEB_CONNECTIONS is {wanted}, but a process may open {limit} files and needs {_FILES + outgoing} "
            f"for others: set it to {room} or less, or raise the hard limit (`ulimit -Hn`)"
        )
    return wanted
