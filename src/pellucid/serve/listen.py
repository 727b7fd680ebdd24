"""The listening socket, opened before anything else is started so that a taken port is said at once."""

from __future__ import annotations

import contextlib
import errno
import socket
import time

from pellucid.errors import SettingsError

_BACKLOG = 2048

_RETRY_S = 2.0
"""How long a taken port is tried again: the processes of a server that was killed need a moment to notice."""


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises SettingsError that says what is in the way and how to mend it."""
    deadline = time.monotonic() + _RETRY_S
    while True:
        try:
            return _listen_once(host, port)
        except socket.gaierror as error:
            raise SettingsError(f"the host {host!r} is no address of this machine; set PELLUCID_HOST") from error
        except PermissionError as error:
            raise SettingsError(
                f"port {port} may only be opened by root (ports below 1024); set PELLUCID_PORT to 1024 or more"
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise SettingsError(f"{host} is no address of this machine; set PELLUCID_HOST") from error
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from error
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"port {port} on {host} is taken by another program: stop it, or choose another port "
                    f"(`make run PORT={port + 1}`, PELLUCID_PORT={port + 1} or --port {port + 1})"
                ) from error
            time.sleep(0.1)


def address_of(sock: socket.socket) -> str:
    """`host:port` as it stands in a URL that works on this machine: every address is reached by its loopback."""
    host: str = sock.getsockname()[0]
    port: int = sock.getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - replaced, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen_once(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
