"""The listening socket. It is opened before anything else is started, so that a taken port is reported at once."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Sequence

from pellucid.errors import SettingsError
from pellucid.serve.running_server import find_running

_BACKLOG = 2048

_UNSENT_BYTES = 256 << 10
"""Unsent bytes of a response in the kernel. Its own limit is 4 MB per connection, which is 4 GB for a thousand clients
that read nothing. Bytes that wait in the process are counted (`http.connections`).
"""

_HANDOVER_S = 0.05
"""Time for the web processes to close their ends of the socket before the supervisor accepts the rest."""

_READ_S = 0.5
"""Time for these clients to read the response."""

_STOPPING = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n"
    b"cache-control: no-store\r\naccess-control-allow-origin: *\r\n\r\n"
)

_LAST_PORT = 65_535

_RETRY_S = 2.0
"""How long a taken port is tried again: the processes of a killed server end a moment later."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening TCP socket. Raises SettingsError with the cause and a remedy."""
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
                raise SettingsError(_describe_taken(host, port)) from error
            time.sleep(0.1)


def _describe_taken(host: str, port: int) -> str:
    running = find_running(host, port)
    taken = f"port {port} on {host} is taken"
    if running is None:
        taken += " by another program"
    else:
        taken += f": Pellucid {running.version} is already running on {running.url}"
    other = port + 1 if port < _LAST_PORT else port - 1
    return f"{taken}\nStop it, or take another port: --port {other}, PELLUCID_PORT={other} or `make run PORT={other}`"


def end_listening(sock: socket.socket) -> None:
    """Refuse new connections for all processes that share `sock`; these are stopping. Connections that the kernel has
    established and no process has accepted get a 503: closing the socket would reset them.
    """
    time.sleep(_HANDOVER_S)
    sock.setblocking(False)
    left: list[socket.socket] = []
    with contextlib.suppress(OSError):
        while True:
            left.append(sock.accept()[0])
    # Closing this end alone would leave the backlog open as long as another process has the socket.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RD)
    sock.close()
    _answer_stopping(left)


def _answer_stopping(clients: Sequence[socket.socket]) -> None:
    """Answer each client, and wait a moment until it has read the response: closing a socket with unread bytes resets
    it.
    """
    poll = select.poll()
    reading: dict[int, socket.socket] = {}
    for client in clients:
        client.setblocking(False)
        try:
            client.send(_STOPPING)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            client.close()
            continue
        reading[client.fileno()] = client
        poll.register(client, select.POLLIN)
    deadline = time.monotonic() + _READ_S
    while reading and (left_s := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(1000 * left_s):
            try:
                gone = not reading[number].recv(65_536)
            except BlockingIOError:
                continue
            except OSError:
                gone = True
            if gone:
                poll.unregister(number)
                reading.pop(number).close()
    for client in reading.values():
        client.close()


def address_of(sock: socket.socket) -> str:
    """`host:port` for a URL that works on this machine. A wildcard address is replaced by a loopback address."""
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
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
