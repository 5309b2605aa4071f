"""The vault for programs with threads instead of an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar

from sealkeep_client.importers import ImportOptions
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Unlock
from sealkeep_client.vault._attachment_file import AttachmentFile
from sealkeep_client.vault._device_types import DeviceInfo, KitInfo, MembershipChange, MissingKey, RosterChange
from sealkeep_client.vault._types import (
    Change,
    Chat,
    Checkpoint,
    Draft,
    ExportReport,
    FileEntry,
    ImportReport,
    LinkCode,
    Linked,
    Newcomer,
    OnProgress,
    Record,
    RepairReport,
    Status,
    SyncState,
    SyncSummary,
    VerifyReport,
)
from sealkeep_client.vault._vault import Vault
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.records import Attachment, ConversationType, SourceIdentity

T = TypeVar("T")


class _Loop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sealkeep-vault", daemon=True)
        self._thread.start()
        self._closing = threading.Lock()
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end; what interrupts the waiting thread cancels it. Raises `UsageError` after `close`."""
        with self._closing:
            if self._closed:
                coroutine.close()
                raise UsageError("the vault is closed")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, iterator: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> tuple[bool, T | None]:
            try:
                return True, await anext(iterator)
            except StopAsyncIteration:
                return False, None

        async def end() -> None:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

        try:
            while True:
                there, value = self.run(following())
                if not there:
                    return
                yield value  # type: ignore[misc]
        finally:
            with suppress(UsageError):
                self.run(end())

    @contextmanager
    def enter(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        value = self.run(_enter(manager))
        try:
            yield value
        finally:
            self.run(_leave(manager))

    def close(self) -> None:
        """End the loop, and what is still to be ended on it. May be called again."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _finish(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


async def _enter(manager: AbstractAsyncContextManager[T]) -> T:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[Any]) -> None:
    await manager.__aexit__(None, None, None)


class SyncAttachmentFile:
    """`AttachmentFile` with ordinary calls."""

    def __init__(self, loop: _Loop, file: AttachmentFile) -> None:
        self._loop = loop
        self._file = file
        self.size = file.size

    def read(self, size: int = -1) -> bytes:
        """See `AttachmentFile.read`."""
        return self._loop.run(self._file.read(size))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `AttachmentFile.seek`."""
        return self._loop.run(self._file.seek(offset, whence))

    def tell(self) -> int:
        """See `AttachmentFile.tell`."""
        return self._file.tell()


class SyncVault:
    """`Vault` with ordinary calls, for any thread. What it takes, gives and raises is what `Vault` does.

    Callbacks (`on_kit`, `progress`, `on_state`) are called on a thread of the vault's own: they must not call it back.
    """

    def __init__(self, loop: _Loop, vault: Vault) -> None:
        self._loop = loop
        self._vault = vault

    @classmethod
    def create(
        cls, home: Path, *, relay: str, unlock: Unlock, name: str, on_kit: Callable[[RecoveryKit], None]
    ) -> Self:
        """See `Vault.create`."""
        return cls._begin(Vault.create(home, relay=relay, unlock=unlock, name=name, on_kit=on_kit))

    @classmethod
    def open(cls, home: Path, *, unlock: Unlock) -> Self:
        """See `Vault.open`."""
        return cls._begin(Vault.open(home, unlock=unlock))

    @classmethod
    def recover(cls, home: Path, *, kit: RecoveryKit, unlock: Unlock, name: str, relay: str | None = None) -> Self:
        """See `Vault.recover`."""
        return cls._begin(Vault.recover(home, kit=kit, unlock=unlock, name=name, relay=relay))

    @classmethod
    def link(
        cls,
        home: Path,
        *,
        relay: str | None,
        unlock: Unlock,
        name: str,
        on_code: Callable[[LinkCode], None],
        on_words: Callable[[tuple[str, ...]], None],
    ) -> Self:
        """See `Vault.link`."""
        return cls._begin(Vault.link(home, relay=relay, unlock=unlock, name=name, on_code=on_code, on_words=on_words))

    @classmethod
    def _begin(cls, opening: Coroutine[Any, Any, Vault]) -> Self:
        loop = _Loop()
        try:
            return cls(loop, loop.run(opening))
        except BaseException:
            loop.close()
            raise

    def close(self) -> None:
        """See `Vault.close`. May be called again; the vault is of no use afterwards."""
        with suppress(UsageError):
            self._loop.run(self._vault.close())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def conversation(
        self, name: str, *, title: str | None = None, type: ConversationType = ConversationType.UNKNOWN
    ) -> Chat:
        """See `Vault.conversation`."""
        return self._loop.run(self._vault.conversation(name, title=title, type=type))

    def conversations(self) -> list[Chat]:
        """See `Vault.conversations`."""
        return self._loop.run(self._vault.conversations())

    def append(
        self, chat: Chat, content: Draft, *, source: SourceIdentity | None = None, files: Sequence[Path] = ()
    ) -> Record:
        """See `Vault.append`."""
        return self._loop.run(self._vault.append(chat, content, source=source, files=files))

    def uploaded(self, record: Record | bytes, *, timeout: float | None = None) -> None:
        """See `Vault.uploaded`."""
        self._loop.run(self._vault.uploaded(record, timeout=timeout))

    def record(self, identifier: bytes) -> Record | None:
        """See `Vault.record`."""
        return self._loop.run(self._vault.record(identifier))

    def history(self, chat: Chat, *, before: Record | None = None, limit: int = 50) -> Iterator[list[Record]]:
        """See `Vault.history`."""
        return self._loop.iterate(self._vault.history(chat, before=before, limit=limit))

    def search(self, words: str, *, chat: Chat | None = None, limit: int | None = None) -> Iterator[Record]:
        """See `Vault.search`."""
        return self._loop.iterate(self._vault.search(words, chat=chat, limit=limit))

    def observe(self, chat: Chat, *, limit: int = 50) -> Iterator[Change]:
        """See `Vault.observe`; waits for each change."""
        return self._loop.iterate(self._vault.observe(chat, limit=limit))

    def import_exports(
        self, paths: Sequence[Path], *, options: ImportOptions | None = None, progress: OnProgress | None = None
    ) -> ImportReport:
        """See `Vault.import_exports`."""
        return self._loop.run(self._vault.import_exports(paths, options=options, progress=progress))

    def export(
        self,
        out: Path,
        *,
        format: Literal["jsonl", "html"],
        files: Path | None = None,
        progress: OnProgress | None = None,
    ) -> ExportReport:
        """See `Vault.export`."""
        return self._loop.run(self._vault.export(out, format=format, files=files, progress=progress))

    def attach(self, record: Record | bytes, path: Path, *, progress: OnProgress | None = None) -> Record:
        """See `Vault.attach`."""
        return self._loop.run(self._vault.attach(record, path, progress=progress))

    @contextmanager
    def open_attachment(self, record: Record | bytes, attachment: int | Attachment = 0) -> Iterator[SyncAttachmentFile]:
        """See `Vault.open_attachment`."""
        with self._loop.enter(self._opened(record, attachment)) as file:
            yield SyncAttachmentFile(self._loop, file)

    @asynccontextmanager
    async def _opened(self, record: Record | bytes, attachment: int | Attachment) -> AsyncIterator[AttachmentFile]:
        async with await self._vault.open_attachment(record, attachment) as file:
            yield file

    def save_attachment(
        self, record: Record | bytes, attachment: int | Attachment, out: Path, *, progress: OnProgress | None = None
    ) -> int:
        """See `Vault.save_attachment`."""
        return self._loop.run(self._vault.save_attachment(record, attachment, out, progress=progress))

    def files(self, chat: Chat | None = None) -> Iterator[FileEntry]:
        """See `Vault.files`."""
        return self._loop.iterate(self._vault.files(chat))

    def sync(self, *, progress: OnProgress | None = None) -> SyncSummary:
        """See `Vault.sync`."""
        return self._loop.run(self._vault.sync(progress=progress))

    @contextmanager
    def background_sync(
        self, *, on_state: Callable[[SyncState], None] | None = None, interval: float = 15.0
    ) -> Iterator[None]:
        """See `Vault.background_sync`."""
        with self._loop.enter(self._vault.background_sync(on_state=on_state, interval=interval)):
            yield

    def repair(self, *, progress: OnProgress | None = None) -> RepairReport:
        """See `Vault.repair`."""
        return self._loop.run(self._vault.repair(progress=progress))

    def checkpoint(self, words: tuple[str, str] | None = None) -> Checkpoint:
        """See `Vault.checkpoint`."""
        return self._loop.run(self._vault.checkpoint(words))

    def verify(self, *, files: bool = False, progress: OnProgress | None = None) -> VerifyReport:
        """See `Vault.verify`."""
        return self._loop.run(self._vault.verify(files=files, progress=progress))

    def accept(
        self, code: str, *, confirm: Callable[[Newcomer], bool], on_wait: Callable[[int], None] | None = None
    ) -> Linked:
        """See `Vault.accept`. `confirm` may block: it is called on a thread of its own; `on_wait` may not."""

        async def ask(newcomer: Newcomer) -> bool:
            return await asyncio.to_thread(confirm, newcomer)

        return self._loop.run(self._vault.accept(code, confirm=ask, on_wait=on_wait))

    def status(self) -> Status:
        """See `Vault.status`."""
        return self._loop.run(self._vault.status())

    def devices(self) -> list[DeviceInfo]:
        """See `Vault.devices`."""
        return self._loop.run(self._vault.devices())

    def kits(self) -> list[KitInfo]:
        """See `Vault.kits`."""
        return self._loop.run(self._vault.kits())

    def missing_keys(self) -> list[MissingKey]:
        """See `Vault.missing_keys`."""
        return self._loop.run(self._vault.missing_keys())

    def device_log(self) -> list[RosterChange]:
        """See `Vault.device_log`."""
        return self._loop.run(self._vault.device_log())

    def remove(
        self,
        *devices: int,
        on_kit: Callable[[RecoveryKit], None] | None = None,
        prepared: RecoveryKit | None = None,
        kit: RecoveryKit | None = None,
        since: int | None = None,
        discard: Mapping[int, int | None] = MappingProxyType({}),
    ) -> MembershipChange:
        """See `Vault.remove`."""
        return self._loop.run(
            self._vault.remove(*devices, on_kit=on_kit, prepared=prepared, kit=kit, since=since, discard=discard)
        )

    def rotate(self) -> MembershipChange:
        """See `Vault.rotate`."""
        return self._loop.run(self._vault.rotate())

    def replace_kit(
        self,
        *,
        on_kit: Callable[[RecoveryKit], None] | None = None,
        prepared: RecoveryKit | None = None,
        kit: RecoveryKit | None = None,
    ) -> MembershipChange:
        """See `Vault.replace_kit`."""
        return self._loop.run(self._vault.replace_kit(on_kit=on_kit, prepared=prepared, kit=kit))
