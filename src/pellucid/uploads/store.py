"""The uploads of one machine: taken within limits, shown through an alias, deleted on demand or when they expire.

A row is reserved before the bytes come, the bytes lie outside the served folder until they are probed, and the file is
in place before the row says so. A process killed at any of these moments leaves a reservation or a file that `sweep`
and `audit` find; deleting goes the other way round, the row last.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from pellucid.concurrency.clients import Client, client_network
from pellucid.customers.customer import hash_key
from pellucid.database.database import Database
from pellucid.errors import (
    AuthenticationError,
    BusyError,
    OriginNotFoundError,
    PellucidError,
    StoreError,
    UploadError,
    UploadTimeoutError,
    UploadTooLargeError,
)
from pellucid.image.facts import ImageFacts
from pellucid.spec import Token
from pellucid.uploads import parts, table
from pellucid.uploads.clients import client_digest
from pellucid.uploads.parts import Part
from pellucid.uploads.secret import folder_secret
from pellucid.uploads.table import Upload, UploadLimits

_log = structlog.get_logger(__name__)

UPLOADS_ALIAS = "_upload_"

_FINISH_S = 120.0
"""A reservation holds this long beyond the time for sending: probing waits for renders, each up to 20 s by default."""

_RECEIVING = 100
"""Uploads received at a time per web process: twice what one client may have by default."""

_WRITE_BYTES = 1 << 18
"""Written at once: a thread for each packet would cost more than the write."""

_GRACE_S = 600.0
"""Files without a row are removed when they are older: several times what lies between a file and its row."""

_LOST_S = 86_400.0
"""Expired rows of other places go after this long: their machine is gone, or its folder was emptied."""

_BATCH = 200

_NAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]+")

ResultT = TypeVar("ResultT")
Probe = Callable[[Callable[[], Awaitable[bytes]], Client], Awaitable[ImageFacts]]


class UploadInvalidator(Protocol):
    """Who makes a server forget uploads. Both raise StoreError, DatabaseError."""

    async def invalidate_uploads(self, names: Sequence[str]) -> None:
        """On return no web process shows these uploads, whose files are gone."""
        ...

    async def drop_bytes(self, digest: str) -> None:
        """Remove the stored origin bytes and what was made of them alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedUpload:
    """An upload that is there. `delete_key` is told once and kept nowhere; `expires_at` in seconds since the epoch."""

    name: str
    delete_key: str
    expires_at: float
    size_bytes: int
    facts: ImageFacts


class UploadStore:
    """`folder` is what the alias shows, `receiving` where bytes lie before, on the same volume. `probe` reads a picture
    once there is room for its bytes, and then its header; those that wait lie on the disk. `has_bytes` says whether
    the store holds an origin of that digest. Made by `open`.
    """

    def __init__(
        self,
        database: Database,
        *,
        folder: Path,
        receiving: Path,
        secret: bytes,
        limits: UploadLimits,
        probe: Probe,
        has_bytes: Callable[[str], Awaitable[bool]],
        lacks_space: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._folder = folder
        self._receiving = receiving
        self._secret = secret
        self._place = hashlib.blake2b(b"place", key=secret, digest_size=16).hexdigest()
        self.limits = limits
        self._probe = probe
        self._has_bytes = has_bytes
        self._lacks_space = lacks_space
        self._clock = clock
        self._under_way = 0

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        folder: Path,
        receiving: Path,
        limits: UploadLimits,
        probe: Probe,
        has_bytes: Callable[[str], Awaitable[bool]],
        lacks_space: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> UploadStore:
        """The shelf, its folders made. Raises StoreError when they cannot be."""

        def prepare() -> bytes:
            for each in (folder, receiving):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
            return folder_secret(receiving / "secret")

        secret = await _on_disk(prepare)
        return cls(
            database,
            folder=folder,
            receiving=receiving,
            secret=secret,
            limits=limits,
            probe=probe,
            has_bytes=has_bytes,
            lacks_space=lacks_space,
            clock=clock,
        )

    async def accept(
        self, chunks: AsyncIterator[bytes], *, declared_bytes: int | None, client: str, token: Token
    ) -> AcceptedUpload:
        """Receive a picture. `declared_bytes` is what its sender said that it has, None for nothing said; `client` its
        address.

        Raises UploadError in every shade, ImageError for what is no usable picture, RenderError, BusyError, StoreError,
        DatabaseError, and whatever `chunks` raises; nothing stays then.
        """
        self._check_size(declared_bytes)
        if declared_bytes == 0:
            raise UploadError("the body is empty; send the bytes of a picture")
        if self._under_way >= _RECEIVING:
            raise BusyError("too many uploads are under way")
        if self._lacks_space():
            raise BusyError("the server has no room for uploads now", retry_after_s=60)
        self._under_way += 1
        try:
            return await self._accept(chunks, declared_bytes=declared_bytes, client=client, token=token)
        finally:
            self._under_way -= 1

    async def find(self, name: str, *, key: str | None) -> Upload:
        """The upload of that name, for who has its `key`; None for who needs none. Raises OriginNotFoundError,
        AuthenticationError, DatabaseError.
        """
        upload = None
        if _NAME.fullmatch(name):  # not every database takes every text
            find = partial(table.find, name=name, place=self._place, now=self._clock())
            upload = await self._database.read(find)
        if upload is None:
            raise OriginNotFoundError("there is no such upload; perhaps it has expired")
        if key is not None and not compare_digest(hash_key(key), upload.secret_hash):
            raise AuthenticationError(
                "send Authorization: Bearer <delete_key>, as it was told when the picture was sent"
            )
        return upload

    async def delete(self, upload: Upload, invalidator: UploadInvalidator) -> None:
        """Delete it; on return it is gone from every web process. Raises DatabaseError, StoreError, after
        which the sweep goes on with it.
        """
        await self._database.run(partial(table.expire, name=upload.name))
        await self._delete([upload], invalidator)

    async def sweep(self, invalidator: UploadInvalidator) -> None:
        """Delete what has expired, and what killed processes left half received. One process at a time does it; the
        others pass. Raises DatabaseError, StoreError.
        """
        with self._try_sweep_lock() as ours:
            if not ours:
                return
            now = self._clock()
            for stem in await _on_disk(partial(parts.left_behind, self._receiving)):
                await _on_disk(partial(parts.remove_part, self._receiving, stem))
                await self._database.run(partial(table.drop, names=[stem]))
            due = partial(table.expired, place=self._place, now=now, at_most=_BATCH)
            while doomed := await self._database.read(due):
                await self._delete(doomed, invalidator)
            await self._database.run(partial(table.forget_lost, place=self._place, before=now - _LOST_S))

    async def audit(self, invalidator: UploadInvalidator, *, grace_s: float = _GRACE_S) -> None:
        """Remove files without a row, if older than `grace_s`, and rows without a file. Slower than `sweep`:
        it looks at everything. Raises what `sweep` raises.
        """
        with self._try_sweep_lock() as ours:
            if not ours:
                return
            now = self._clock()
            old = await _on_disk(partial(parts.files_older_than, self._folder, now - grace_s))
            for names in (old[start : start + _BATCH] for start in range(0, len(old), _BATCH)):
                known = await self._database.read(partial(table.known, names=names, now=now))
                await _on_disk(partial(self._unlink, [name for name in names if name not in known]))
            await _on_disk(partial(parts.remove_unlocked, self._receiving, now - grace_s))
            after = ""
            while page := await self._database.read(
                partial(table.page, place=self._place, after=after, at_most=_BATCH)
            ):
                after = page[-1].name
                lost = await _on_disk(partial(self._without_file, page))
                if lost:
                    _log.warning("uploads have lost their files", count=len(lost))
                    await self._delete(lost, invalidator)

    async def next_expiry(self) -> float | None:
        """When the next one expires, in seconds since the epoch; None for none. Raises DatabaseError."""
        return await self._database.read(partial(table.next_expiry, place=self._place))

    def _check_size(self, size_bytes: int | None) -> None:
        if size_bytes is not None and size_bytes > self.limits.largest:
            raise UploadTooLargeError(f"an upload has at most {self.limits.largest} bytes")

    async def _accept(
        self, chunks: AsyncIterator[bytes], *, declared_bytes: int | None, client: str, token: Token
    ) -> AcceptedUpload:
        stem, delete_key, now = secrets.token_hex(16), secrets.token_urlsafe(32), self._clock()
        reserved = Upload(
            name=stem,
            place=self._place,
            client=client_digest(client, key=self._secret),
            token=token,
            secret_hash=hash_key(delete_key),
            digest="",
            shared=False,
            size_bytes=self.limits.largest if declared_bytes is None else declared_bytes,
            created_at=now,
            expires_at=now + self.limits.timeout_s + _FINISH_S,
        )
        part = await _on_disk(partial(Part, self._receiving, stem))
        try:
            await self._database.run(partial(table.reserve, upload=reserved, limits=self.limits))
            try:
                size_bytes = await self._receive(part, chunks, limit_bytes=reserved.size_bytes)
                return await self._finish(
                    part, replace(reserved, size_bytes=size_bytes), delete_key, client_network(client)
                )
            except BaseException:
                await _shielded(self._database.run(partial(table.drop, names=[stem, part.moved_to])))
                raise
        finally:
            await _shielded(_on_disk(part.close))

    async def _receive(self, part: Part, chunks: AsyncIterator[bytes], *, limit_bytes: int) -> int:
        """Write what comes to `part`; returns how many bytes."""
        deadline = asyncio.get_running_loop().time() + self.limits.timeout_s
        size_bytes, waiting = 0, bytearray()
        while True:
            # The timeout is for the sender: a thread that writes cannot be stopped half-way.
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise UploadTimeoutError(f"the upload took longer than {self.limits.timeout_s:.0f} s") from error
            size_bytes += len(chunk or b"")
            self._check_size(size_bytes)
            if size_bytes > limit_bytes:
                raise UploadError("more bytes came than were declared")
            waiting += chunk or b""
            if waiting and (chunk is None or len(waiting) >= _WRITE_BYTES):
                await _on_disk(partial(part.write, bytes(waiting)))
                waiting.clear()
            if chunk is None:
                break
        if size_bytes == 0:
            raise UploadError("the body is empty; send the bytes of a picture")
        return size_bytes

    async def _finish(self, part: Part, reserved: Upload, delete_key: str, client: Client) -> AcceptedUpload:
        """Probe it, put it into its place, and have the row say so."""
        digest = ""

        async def read() -> bytes:
            nonlocal digest
            data, digest = await _on_disk(part.read)
            return data

        facts = await self._probe(read, client)
        name = f"{reserved.name}.{facts.format.extension}"
        shared = await self._has_bytes(digest)
        await _on_disk(partial(part.move, self._folder / name))
        expires_at = self._clock() + self.limits.keep_s
        done = await self._database.run(
            partial(
                table.finish,
                reserved=reserved.name,
                name=name,
                digest=digest,
                shared=shared,
                size_bytes=reserved.size_bytes,
                expires_at=expires_at,
            )
        )
        if not done:
            raise BusyError("the upload waited too long for its turn")
        part.keep()
        return AcceptedUpload(
            name=name, delete_key=delete_key, expires_at=expires_at, size_bytes=reserved.size_bytes, facts=facts
        )

    async def _delete(self, doomed: Sequence[Upload], invalidator: UploadInvalidator) -> None:
        """Files, then what the server knows of them, then bytes and rows."""
        received = [upload for upload in doomed if upload.digest]
        await _on_disk(partial(self._unlink, [upload.name for upload in received]))
        if received:
            await invalidator.invalidate_uploads([upload.name for upload in received])
        for digest in {upload.digest for upload in received if not upload.shared}:
            if not await self._database.read(partial(table.with_bytes, digest=digest, now=self._clock())):
                await invalidator.drop_bytes(digest)
        for upload in doomed:
            if not upload.digest:
                await _on_disk(partial(parts.remove_part, self._receiving, upload.name))
        await self._database.run(partial(table.drop, names=[upload.name for upload in doomed]))

    def _unlink(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _without_file(self, uploads: Sequence[Upload]) -> list[Upload]:
        return [upload for upload in uploads if not (self._folder / upload.name).is_file()]

    @contextmanager
    def _try_sweep_lock(self) -> Generator[bool]:
        """Whether it is this process's turn to tidy up."""
        try:
            file = (self._receiving / "sweep.lock").open("wb")
        except OSError as error:
            raise StoreError(f"{self._receiving} cannot be used: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


async def _on_disk(work: Callable[[], ResultT]) -> ResultT:
    """`work` on a thread. Raises StoreError."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise StoreError(f"an upload cannot be stored: {error.strerror} ({error.filename})") from error


async def _shielded(tidying: Coroutine[object, object, object]) -> None:
    """Done to its end even if whoever waits for it is cancelled. What fails is left to the sweep."""
    task = asyncio.ensure_future(tidying)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
    except PellucidError as error:  # what led here matters more
        _log.error("upload not tidied away", error=str(error))
