"""uvicorn, as a web process runs it: bounded connections, and an end that answers whoever has asked."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from pellucid.http.connections import SWEEP_S, ConnectionLimits, Connections, Phase
from pellucid.http.protocol import protocol_for

_log = structlog.get_logger(__name__)

_TICK_S = 0.1
"""uvicorn's."""

_LAST_REQUESTS_S = 0.5
"""After listening has ended, what open connections get to send the request that is on its way; each is answered, and
told that it was the last."""


class HttpServer(uvicorn.Server):
    """Serves `app` on listening sockets until SIGTERM, once or, harder, twice.

    `on_stop` is called when the end begins: whoever holds an answer back on purpose gives it now.
    `trusted` in `limits` are the proxies whose `X-Forwarded-For` is believed.
    """

    def __init__(self, app: ASGIApp, *, limits: ConnectionLimits, stop_s: float, on_stop: Callable[[], None]) -> None:
        self.connections = Connections(limits)
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=protocol_for(self.connections),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=2048,
                timeout_graceful_shutdown=round(stop_s),
                forwarded_allow_ips=_as_uvicorn_wants_them(limits),
            )
        )
        # What clients send is no matter for a warning each.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._on_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        if counter % round(SWEEP_S / _TICK_S) == 0:
            self._sweep_now()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started:
            os._exit(0)  # nothing has been accepted
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.connections.drop_all if self.force_exit else self._stop_listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop_listening()
        self.connections.stopping = True
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
        self._on_stop()
        waited_s = 0.0
        while waited_s < _LAST_REQUESTS_S and self._waiting() and not self.force_exit:
            await asyncio.sleep(_TICK_S)
            waited_s += _TICK_S
        sweeping = asyncio.create_task(self._sweep())  # nothing ticks any more
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._sweep_now()

    def _sweep_now(self) -> None:
        try:
            self.connections.sweep()
        except Exception:  # the edge: a connection that cannot be looked at must not end the server
            _log.exception("unexpected error")

    def _waiting(self) -> int:
        return self.connections.count(Phase.IDLE) + self.connections.count(Phase.HEAD)

    def _stop_listening(self) -> None:
        for server in getattr(self, "servers", ()):
            server.close()


def serve_app(
    app: ASGIApp, sock: socket.socket, *, limits: ConnectionLimits, stop_s: float, on_stop: Callable[[], None]
) -> bool:
    """Serve until SIGTERM; False when the application could not start."""
    server = HttpServer(app, limits=limits, stop_s=stop_s, on_stop=on_stop)
    try:
        server.run(sockets=[sock])
    except SystemExit:
        if server.started:
            raise
    return server.started


def _as_uvicorn_wants_them(limits: ConnectionLimits) -> list[str]:
    """Networks as texts; those of IPv4 also as a socket that listens on both writes them."""
    texts: list[str] = []
    for network in limits.trusted:
        texts.append(str(network))
        if network.version == 4:
            texts.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return texts
