"""Sends the deliveries of the outbox: signed webhooks and CDN purges. Any number of processes may run a sender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from pellucid.errors import DatabaseError, OriginRefusedError
from pellucid.notify.cdn import CdnApi
from pellucid.notify.signature import SigningKeys, signature_headers
from pellucid.queue.outbox import Outbox
from pellucid.queue.values import Delivery, DeliveryKind
from pellucid.source.session import GuardedSession, NoReplyError, Reply
from pellucid.source.weburl import parse_web_url

_log = structlog.get_logger(__name__)

_POLL_S = 0.5
_RETRY_PAUSE_S = 5.0
"""Pause after an error of the database."""

_LEASE_MARGIN_S = 30.0
"""Time from the end of an attempt to the end of its lease, for a machine or database that stalls."""

_STOP_S = 3.0
"""Time that attempts in flight get when the process stops. Aborted deliveries are sent again, under the same id, when
their lease ends.
"""

_GONE = 410
_SHOWN = 200
"""Characters of a CDN's response in the log."""


class _FinalError(Exception):
    """This delivery can never be sent."""


class _FailedError(Exception):
    """This attempt failed. `pause_s` is the pause that the receiver requested."""

    def __init__(self, message: str, *, pause_s: float = 0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


class Sender:
    """Claims deliveries from `outbox` and sends them, at most `concurrency` at a time, each with a `timeout_s`.

    `webhooks` and `purges` are open sessions, whose guards restrict the addresses. `keys` sign webhooks. `cdn` is None
    without a CDN. The outbox is polled every `poll_s`. `clock` returns seconds since the epoch.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        webhooks: GuardedSession,
        purges: GuardedSession,
        keys: SigningKeys,
        cdn: CdnApi | None = None,
        timeout_s: float = 10,
        concurrency: int = 16,
        poll_s: float = _POLL_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._webhooks = webhooks
        self._purges = purges
        self._keys = keys
        self._cdn = cdn
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; attempts in flight then get a few seconds. Raises nothing but CancelledError."""
        in_flight: set[asyncio.Task[None]] = set()
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                pause_s = self._poll_s
                try:
                    due = await self._claim(self._concurrency - len(in_flight))
                except DatabaseError as error:
                    _log.error("database failed", error=str(error))
                    due, pause_s = (), _RETRY_PAUSE_S
                except Exception:  # logged and retried: otherwise sending would end unnoticed
                    _log.exception("unexpected error")
                    due, pause_s = (), _RETRY_PAUSE_S
                for delivery in due:
                    task = asyncio.create_task(self._send(delivery))
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
                if not due:
                    await asyncio.wait({stopped, *in_flight}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            if in_flight:
                await asyncio.wait(in_flight, timeout=_STOP_S)
        finally:
            stopped.cancel()
            for task in in_flight:
                task.cancel()
            await asyncio.gather(stopped, *in_flight, return_exceptions=True)

    async def _claim(self, limit: int) -> tuple[Delivery, ...]:
        return await self._outbox.claim_deliveries(limit, self._timeout_s + _LEASE_MARGIN_S) if limit else ()

    async def _send(self, delivery: Delivery) -> None:
        """Make one attempt and save its outcome."""
        try:
            try:
                await self._attempt(delivery)
            except _FinalError as error:
                await self._outbox.delivery_failed(delivery.id, str(error), final=True)
            except _FailedError as error:
                await self._outbox.delivery_failed(delivery.id, str(error), pause_s=error.pause_s)
            except Exception as error:  # any error uses up an attempt
                _log.exception("unexpected error", delivery=delivery.id)
                await self._outbox.delivery_failed(delivery.id, type(error).__name__)
            else:
                await self._outbox.delivered(delivery.id)
                _log.info("delivered", delivery=delivery.id, kind=delivery.kind.value, attempt=delivery.attempt)
        except DatabaseError as error:
            # The delivery is sent again, under the same id, when its lease ends.
            _log.error("database failed", error=str(error), delivery=delivery.id)

    async def _attempt(self, delivery: Delivery) -> None:
        """Send the delivery; returns when its receiver has accepted it. Raises _FailedError, _FinalError."""
        match delivery.kind:
            case DeliveryKind.WEBHOOK:
                await self._call(delivery)
            case DeliveryKind.CDN:
                await self._purge(delivery)

    async def _call(self, delivery: Delivery) -> None:
        keys = self._keys.of(delivery.url)
        if not keys:
            raise _FinalError("there is no secret to sign it with; PELLUCID_NOTIFY_SECRET sets one")
        body = delivery.body.encode()
        headers = {
            "Content-Type": "application/json",
            **signature_headers(keys, message_id=delivery.id, timestamp=int(self._clock()), body=body),
        }
        reply = await self._request(self._webhooks, "POST", delivery.url, headers, body)
        if reply.status == _GONE:
            raise _FinalError("the receiver wants no more (status 410)")
        if not 200 <= reply.status < 300:
            raise _failed(reply, "")

    async def _purge(self, delivery: Delivery) -> None:
        if self._cdn is None:
            raise _FinalError("no CDN is configured any more; PELLUCID_CDN_PURGE_URL names one")
        try:
            request = self._cdn.build_request(delivery.body)
        except ValueError as error:
            raise _FinalError(f"{delivery.body} was made for another purge_url: {error}") from error
        reply = await self._request(self._purges, request.method, request.url, request.headers, request.body)
        if not self._cdn.is_done(reply.status):
            raise _failed(reply, f" to {delivery.body}: {reply.text[:_SHOWN]!r}")

    async def _request(
        self, session: GuardedSession, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> Reply:
        try:
            return await session.call(method, parse_web_url(url), headers=headers, body=body, timeout_s=self._timeout_s)
        except ValueError as error:
            raise _FinalError("its URL is malformed") from error
        except (NoReplyError, OriginRefusedError) as error:
            raise _FailedError(str(error)) from error


def _failed(reply: Reply, more: str) -> _FailedError:
    note = ", redirects are not followed" if 300 <= reply.status < 400 else ""
    return _FailedError(f"status {reply.status}{note}{more}", pause_s=reply.retry_after_s or 0)
