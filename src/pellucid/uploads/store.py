"""The uploads of one machine: accepted within limits, served through an alias, deleted on request or when they expire.

The order of the steps makes a crash at any point harmless:

1. A row is reserved.
2. The bytes are received into a file outside the served folder, and probed.
3. The file is moved into the served folder.
4. The row is finished.

A killed process leaves a reservation or a file, which `sweep` and `audit` find. A deletion goes the other way round and
removes the row last.
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
"""A reservation lasts this long beyond the timeout of receiving: probing waits for renders, each up to 20 s by default.
"""

_MAX_RECEIVING = 100
"""Simultaneous uploads per web process: twice what one client may have by default."""

_WRITE_BYTES = 1 << 18
"""Bytes per write: a thread for each packet would cost more than the write."""

_GRACE_S = 600.0
"""Files without a row are removed at this age: several times what passes between moving a file and finishing its row.
"""

_LOST_AFTER_S = 86_400.0
"""Expired rows of other data directories are deleted after this time: the machine is gone, or the folder was emptied.
"""

_BATCH = 200

_NAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]+")

ResultT = TypeVar("ResultT")
Probe = Callable[[Callable[[], Awaitable[bytes]], Client], Awaitable[ImageFacts]]


class UploadInvalidator(Protocol):
    """Removes uploads from the caches. Both methods raise StoreError, DatabaseError."""

    async def invalidate_uploads(self, names: Sequence[str]) -> None:
        """Invalidate uploads whose files are gone. On return no web process serves them."""
        ...

    async def drop_bytes(self, digest: str) -> None:
        """Remove the stored origin bytes, and what was made from them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedUpload:
    """A completed upload."""

    name: str
    delete_key: str
    """Returned once, and stored nowhere."""
    expires_at: float
    """Seconds since the epoch."""
    size_bytes: int
    facts: ImageFacts


class UploadStore:
    """The uploads of one data directory. Made by `open`.

    `folder`: the served folder.
    `receiving`: the folder of uploads that are being received, on the same volume.
    `probe`: reads the facts of an image. It waits for memory for the bytes; the upload lies on the disk meanwhile.
    `has_bytes`: whether the store has origin bytes with a digest.
    `lacks_space`: whether the disk is too full for uploads.
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
        self._in_flight = 0

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
        """Create the folders and return the store. Raises StoreError."""

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
        """Receive an image. `declared_bytes` is the declared size, None if there is none; `client` the client's
        address.

        Raises UploadError and its subclasses, ImageError for an unusable image, RenderError, BusyError, StoreError,
        DatabaseError, and any error of `chunks`. Nothing of the upload stays then.
        """
        self._check_size(declared_bytes)
        if declared_bytes == 0:
            raise UploadError("the body is empty; send the bytes of a picture")
        if self._in_flight >= _MAX_RECEIVING:
            raise BusyError("too many uploads are under way")
        if self._lacks_space():
            raise BusyError("the server has no room for uploads now", retry_after_s=60)
        self._in_flight += 1
        try:
            return await self._accept(chunks, declared_bytes=declared_bytes, client=client, token=token)
        finally:
            self._in_flight -= 1

    async def find(self, name: str, *, key: str | None) -> Upload:
        """Find an upload by name. `key` is its delete key; None skips the check (operator). Raises OriginNotFoundError,
        AuthenticationError, DatabaseError.
        """
        upload = None
        if _NAME.fullmatch(name):  # PostgreSQL rejects some texts, such as NUL
            find = partial(table.find, name=name, place=self._place, now=self._clock())
            upload = await self._database.read(find)
        if upload is None:
            raise OriginNotFoundError("there is no such upload; perhaps it has expired")
        if key is not None and not compare_digest(hash_key(key), upload.secret_hash):
            raise AuthenticationError(
                "send Authorization: Bearer <delete_key>, the key that was returned when the picture was sent"
            )
        return upload

    async def delete(self, upload: Upload, invalidator: UploadInvalidator) -> None:
        """Delete an upload. On return no web process serves it. Raises DatabaseError, StoreError; a sweep completes the
        deletion then.
        """
        await self._database.run(partial(table.expire, name=upload.name))
        await self._delete([upload], invalidator)

    async def sweep(self, invalidator: UploadInvalidator) -> None:
        """Delete expired uploads, and those that killed processes were receiving. Only one process at a time sweeps;
        the call of another returns at once. Raises DatabaseError, StoreError.
        """
        with self._try_sweep_lock() as has_lock:
            if not has_lock:
                return
            now = self._clock()
            for stem in await _on_disk(partial(parts.abandoned_parts, self._receiving)):
                await _on_disk(partial(parts.remove_part, self._receiving, stem))
                await self._database.run(partial(table.drop, names=[stem]))
            due = partial(table.expired, place=self._place, now=now, limit=_BATCH)
            while due_uploads := await self._database.read(due):
                await self._delete(due_uploads, invalidator)
            await self._database.run(partial(table.drop_lost, place=self._place, before=now - _LOST_AFTER_S))

    async def audit(self, invalidator: UploadInvalidator, *, grace_s: float = _GRACE_S) -> None:
        """Remove files without a row that are older than `grace_s`, and rows without a file. Slower than `sweep`,
        because it checks all uploads. Raises DatabaseError, StoreError.
        """
        with self._try_sweep_lock() as has_lock:
            if not has_lock:
                return
            now = self._clock()
            old = await _on_disk(partial(parts.files_older_than, self._folder, now - grace_s))
            for names in (old[start : start + _BATCH] for start in range(0, len(old), _BATCH)):
                known = await self._database.read(partial(table.known, names=names, now=now))
                await _on_disk(partial(self._unlink, [name for name in names if name not in known]))
            await _on_disk(partial(parts.remove_unlocked, self._receiving, now - grace_s))
            after = ""
            while page := await self._database.read(partial(table.page, place=self._place, after=after, limit=_BATCH)):
                after = page[-1].name
                lost = await _on_disk(partial(self._without_file, page))
                if lost:
                    _log.warning("uploads have lost their files", count=len(lost))
                    await self._delete(lost, invalidator)

    async def next_expiry(self) -> float | None:
        """Time of the next expiry, in seconds since the epoch; None for none. Raises DatabaseError."""
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
        """Write the chunks to `part`. Returns the number of bytes."""
        deadline = asyncio.get_running_loop().time() + self.limits.timeout_s
        size_bytes, buffer = 0, bytearray()
        while True:
            # The timeout covers the client only: a thread that writes cannot be stopped halfway.
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise UploadTimeoutError(f"the upload took longer than {self.limits.timeout_s:.0f} s") from error
            size_bytes += len(chunk or b"")
            self._check_size(size_bytes)
            if size_bytes > limit_bytes:
                raise UploadError("more bytes came than were declared")
            buffer += chunk or b""
            if buffer and (chunk is None or len(buffer) >= _WRITE_BYTES):
                await _on_disk(partial(part.write, bytes(buffer)))
                buffer.clear()
            if chunk is None:
                break
        if size_bytes == 0:
            raise UploadError("the body is empty; send the bytes of a picture")
        return size_bytes

    async def _finish(self, part: Part, reserved: Upload, delete_key: str, client: Client) -> AcceptedUpload:
        """Probe the image, move its file into the served folder, and finish its row."""
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
            raise BusyError("the upload waited too long")
        part.keep()
        return AcceptedUpload(
            name=name, delete_key=delete_key, expires_at=expires_at, size_bytes=reserved.size_bytes, facts=facts
        )

    async def _delete(self, due_uploads: Sequence[Upload], invalidator: UploadInvalidator) -> None:
        """Delete the files, then invalidate the caches, then delete stored bytes and rows."""
        received = [upload for upload in due_uploads if upload.digest]
        await _on_disk(partial(self._unlink, [upload.name for upload in received]))
        if received:
            await invalidator.invalidate_uploads([upload.name for upload in received])
        for digest in {upload.digest for upload in received if not upload.shared}:
            if not await self._database.read(partial(table.with_bytes, digest=digest, now=self._clock())):
                await invalidator.drop_bytes(digest)
        for upload in due_uploads:
            if not upload.digest:
                await _on_disk(partial(parts.remove_part, self._receiving, upload.name))
        await self._database.run(partial(table.drop, names=[upload.name for upload in due_uploads]))

    def _unlink(self, names: Sequence[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _without_file(self, uploads: Sequence[Upload]) -> list[Upload]:
        return [upload for upload in uploads if not (self._folder / upload.name).is_file()]

    @contextmanager
    def _try_sweep_lock(self) -> Generator[bool]:
        """Lock the sweep for the block. Yields False if another process holds the lock."""
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
    """Run `work` on a thread. Raises StoreError."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise StoreError(f"an upload cannot be stored: {error.strerror} ({error.filename})") from error


async def _shielded(cleanup: Coroutine[object, object, object]) -> None:
    """Run `cleanup` to its end, even if the caller is cancelled. Its errors are logged; a sweep repeats the cleanup."""
    task = asyncio.ensure_future(cleanup)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
    except PellucidError as error:  # must not replace the error that led to the cleanup
        _log.error("upload not cleaned up", error=str(error))
