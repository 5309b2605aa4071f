"""The vault: a person's chat records on this device, kept in step with their other devices through a relay."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from sealkeep_client.importers import ImportOptions
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Store, Unlock
from sealkeep_client.transport import HttpRelay
from sealkeep_client.vault._attachment_file import AttachmentFile
from sealkeep_client.vault._by_kit import close_account, verify_kit
from sealkeep_client.vault._checkpoint import checkpoint
from sealkeep_client.vault._core import Core, Sources
from sealkeep_client.vault._device_types import (
    Closing,
    DeviceInfo,
    KitInfo,
    KitReport,
    MembershipChange,
    MissingKey,
    RosterChange,
)
from sealkeep_client.vault._devices import Devices
from sealkeep_client.vault._driver import StoreThread
from sealkeep_client.vault._exporting import check_format, export
from sealkeep_client.vault._files import Files
from sealkeep_client.vault._files_out import Written, relative_paths
from sealkeep_client.vault._importing import import_exports
from sealkeep_client.vault._in_step import InStep
from sealkeep_client.vault._kits import NewKits
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._observing import Observing
from sealkeep_client.vault._reading import Reading
from sealkeep_client.vault._recovering import Reclaiming, recover_home
from sealkeep_client.vault._relaying import Relaying
from sealkeep_client.vault._repair import Repairing
from sealkeep_client.vault._setup import create_home
from sealkeep_client.vault._shown import Shown
from sealkeep_client.vault._status import read_status
from sealkeep_client.vault._transfers import IN_FLIGHT, check_in_flight
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
from sealkeep_client.vault._writing import Writing
from sealkeep_client.workers import Worker
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.records import Attachment, ConversationType, Preview, SourceIdentity


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Vault:
    """One device's vault. Open it with `create`, `open` or `recover`, and close it, or use it as a context manager.

        async with await Vault.open(home, unlock=Passphrase(ask)) as vault:
            chat = await vault.conversation("telegram:user:42")
            record = await vault.append(chat, Text("hi"))

    A record that `append` returned is durable on this device and survives the end of the process at any point; `uploaded`
    waits until the relay has it durably too. Any await may be cancelled without loss. Errors are `SealkeepError`s;
    `.retryable` says whether the same call may succeed later. Long work (imports, a first sync) uses a second process
    where the machine has a core for it, unless the vault was opened with `worker=False`. Of a file at most `in_flight`
    pieces of 1 MiB, 1 to 64, are on their way to or from the relay at once, and in memory.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        shown = Shown(core.store)
        self._reading = Reading(core, shown)
        self._observing = Observing(core, shown)
        self._relaying = Relaying(core, Repairing(core))
        self._devices = Devices(core, self._relaying.register)
        self._in_step = InStep(core, self._relaying)
        self._files = Files(core, shown, written=self._in_step.wake)
        self._writing = Writing(core, shown, self._files, written=self._in_step.wake)
        self._closed: asyncio.Task[None] | None = None

    # Opening and closing

    @classmethod
    async def create(
        cls,
        home: Path,
        *,
        relay: str,
        unlock: Unlock,
        name: str,
        on_kit: Callable[[RecoveryKit], None],
        worker: bool = True,
        in_flight: int = IN_FLIGHT,
        now: Callable[[], int] = _now_ms,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Make a new account with this device as its first.

        `on_kit` gets the recovery kit before anything else is kept or sent: write it down durably, and raise to give up.
        Where only the last step fails, telling the relay, the home is there and `sync` makes up for it.
        """
        sources = Sources(now, entropy)
        line = HttpRelay(relay, now=time.monotonic)

        async def make(thread: StoreThread) -> Store:
            return await create_home(
                home, relay=line, unlock=unlock, name=name, on_kit=on_kit, thread=thread, sources=sources
            )

        vault = await cls._begin(line, make, sources, worker, in_flight)
        try:
            await vault._relaying.register()
        except BaseException:
            await vault.close()
            raise
        return vault

    @classmethod
    async def open(
        cls,
        home: Path,
        *,
        unlock: Unlock,
        worker: bool = True,
        in_flight: int = IN_FLIGHT,
        now: Callable[[], int] = _now_ms,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Open this device's vault. Works without the relay. Raises `StoreError`: no home, wrong passphrase, in use, …"""

        async def load(thread: StoreThread) -> Store:
            return await thread.open(Store.open, home, unlock)

        return await cls._begin(None, load, Sources(now, entropy), worker, in_flight)

    @classmethod
    async def recover(
        cls,
        home: Path,
        *,
        kit: RecoveryKit,
        unlock: Unlock,
        name: str,
        relay: str | None = None,
        remove_others: bool = False,
        on_kit: Callable[[RecoveryKit], None] | None = None,
        discard: bool = False,
        worker: bool = True,
        in_flight: int = IN_FLIGHT,
        now: Callable[[], int] = _now_ms,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Make this device a new one of the kit's account. The records come with the first `sync`.

        Where it is cut short, or fails, the same call goes on: with the same `unlock`, if it had come to sending anything.
        `relay` is where the account is now, if not where the kit says. With `remove_others` every other device is removed
        in the same step, and so are all younger kits; `on_kit` is for the new kit that takes the place of `kit`, as in
        `remove`, and with `discard` what a device wrote is given up from where it does not hold. Where an earlier call had
        joined already, it stays at what that one did: look at `devices()`.
        """
        sources = Sources(now, entropy)
        line = HttpRelay(relay or kit.relay, now=time.monotonic)
        new_kits = NewKits(str(line.url), on_kit, None, entropy(KEY_SIZE), now)
        reclaiming = Reclaiming(new_kits, discard) if remove_others else None

        async def make(thread: StoreThread) -> Store:
            return await recover_home(
                home,
                relay=line,
                kit=kit,
                unlock=unlock,
                name=name,
                thread=thread,
                sources=sources,
                reclaiming=reclaiming,
            )

        return await cls._begin(line, make, sources, worker, in_flight)

    @classmethod
    async def link(
        cls,
        home: Path,
        *,
        relay: str | None,
        unlock: Unlock,
        name: str,
        on_code: Callable[[LinkCode], None],
        on_words: Callable[[tuple[str, ...]], None],
        worker: bool = True,
        in_flight: int = IN_FLIGHT,
        now: Callable[[], int] = _now_ms,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Make this device a new one of an account, let in by one of its devices. The records come with the first `sync`.

        `on_code` gets the code to be shown: an old device is given it (`accept`). `on_words` gets the confirmation words,
        to be compared with those that the old device shows. Raises `PairingError` where the two do not come together: the
        code is used up then. Whatever breaks off, the same call goes on where it can; `relay` may be None then.
        """
        from sealkeep_client.vault._linking import Linking

        sources = Sources(now, entropy)

        async def make(thread: StoreThread) -> Store:
            return await Linking(
                home,
                relay=relay,
                unlock=unlock,
                name=name,
                on_code=on_code,
                on_words=on_words,
                thread=thread,
                sources=sources,
            ).run()

        return await cls._begin(None, make, sources, worker, in_flight)

    @classmethod
    async def _begin(
        cls,
        line: HttpRelay | None,
        make: Callable[[StoreThread], Awaitable[Store]],
        sources: Sources,
        worker: bool,
        in_flight: int,
    ) -> Self:
        check_in_flight(in_flight)
        thread = StoreThread()
        try:
            store = await make(thread)
            local = await thread.run(lambda: Local(store, now=sources.now))
            if line is None:
                line = HttpRelay(await thread.run(local.get, "relay"), now=time.monotonic)
            return cls(Core(store, local, thread, line, sources, worker=worker, in_flight=in_flight))
        except BaseException:
            if line is not None:
                await line.close()
            await thread.close()
            raise

    async def close(self) -> None:
        """Stop the background sync, end those who observe, and close the home. May be called again."""
        if self._closed is None:
            self._core.closing = True
            self._closed = asyncio.create_task(self._close())
        await asyncio.shield(self._closed)  # a caller who is cancelled leaves nothing half closed

    async def _close(self) -> None:
        await self._in_step.stop()
        self._observing.end()
        await self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        account = self._core.local.account
        return f"<Vault {account.id.hex()[:16]}… device {account.device}>"

    # Conversations and records

    async def conversation(
        self, name: str, *, title: str | None = None, type: ConversationType = ConversationType.UNKNOWN
    ) -> Chat:
        """The conversation of this name, `app:identifier` (`telegram:user:42`); it is made when it is new, and changed when
        it gets another title or type.

        Raises `UsageError` for a name without an app, or one that is too long.
        """
        return await self._writing.conversation(name, title=title, type=type)

    async def conversations(self) -> list[Chat]:
        """All conversations, the one with the newest message first."""
        return await self._reading.conversations()

    async def append(
        self,
        chat: Chat,
        content: Draft,
        *,
        source: SourceIdentity | None = None,
        files: Sequence[Path] = (),
        progress: OnProgress | None = None,
    ) -> Record:
        """Add a message to a conversation, with files where some are given. It is durable on this device when this returns.

        With `source`, the app's own identifier of the message, the call is idempotent, and an import of the same message
        adds nothing; without it every call adds one. A message of kind text that has no text is of the kind of its first
        file. Raises `UsageError` for content that no record can hold: it is longer than 64 KiB, say.
        """
        return await self._writing.append(chat, content, source=source, files=files, progress=progress)

    async def attach(
        self,
        record: Record | bytes,
        path: Path,
        *,
        name: str | None = None,
        media_type: str | None = None,
        role: str | None = None,
        progress: OnProgress | None = None,
    ) -> Record:
        """Add a file to a record that is here. Its bytes are durable on this device when this returns; a sync brings them
        to the relay, behind the text that waits.

        `name` is the file's own unless given; the media type goes by it, and the role (`photo`, `video`, `audio`, `file`)
        by the media type. A file that a source named without holding it, of the same name, is found by this. Raises
        `UsageError` for what is no record of this vault, or no file of at most 8 GiB, and `StoreError` where it cannot be
        read or there is no room for it.
        """
        return await self._files.attach(record, path, name=name, media_type=media_type, role=role, progress=progress)

    async def open_attachment(self, record: Record | bytes, attachment: int | Attachment = 0) -> AttachmentFile:
        """A file of a record, by its index among the attachments or itself, for reading from anywhere in it.

        Works without the relay where the file is on this device (`here`). Raises `UsageError` where nobody stored it,
        otherwise as `AttachmentFile.read`.
        """
        return await self._files.open(record, attachment)

    async def save_attachment(
        self,
        record: Record | bytes,
        attachment: int | Attachment,
        out: Path,
        *,
        progress: OnProgress | None = None,
    ) -> int:
        """Write a file of a record to `out`, which appears whole or not at all; returns its bytes.

        The same call goes on where an earlier one was interrupted. Raises `UsageError` where nobody stored the file or
        `out` cannot be one, `StoreError` for its disk, otherwise as `AttachmentFile.read`.
        """
        return await self._files.save(record, attachment, out, progress)

    def files(self, chat: Chat | None = None) -> AsyncIterator[FileEntry]:
        """The files of a conversation, or of all, the newest of each first, those too that nobody has stored."""
        return self._files.entries(chat)

    async def files_of(self, record: Record | bytes) -> list[FileEntry]:
        """The files of one record."""
        return await self._files.of(record)

    async def preview(self, attachment: Attachment) -> Preview | None:
        """A small picture that stands for an attachment, where some device made one: checked, and never the file itself."""
        return await self._files.preview(attachment)

    async def here(self, attachments: Sequence[Attachment]) -> list[bool]:
        """Which of some attachments are on this device, whole and to stay."""
        return await self._files.here(attachments)

    async def uploaded(self, record: Record | bytes, *, timeout: float | None = None) -> None:
        """Wait until the relay has a record durably. Syncs itself where no background sync is running.

        Raises `TransportError` when `timeout` seconds pass first, `RefusedError` (`quota`) where the relay has no room,
        and `UsageError` for a record that is not here.
        """
        identifier = record if isinstance(record, bytes) else record.id
        await self._in_step.uploaded(identifier, timeout=timeout)

    def history(self, chat: Chat, *, before: Record | None = None, limit: int = 50) -> AsyncIterator[list[Record]]:
        """Pages of a conversation, the newest page first, each in the order of time; `before` begins further back.

        Those that are here: `Chat.awaited` says whether more is on its way.
        """
        return self._reading.history(chat, before=before, limit=limit)

    async def record(self, identifier: bytes) -> Record | None:
        """A record by id."""
        return await self._reading.record(identifier)

    async def records_like(self, beginning: str) -> list[Record]:
        """The records whose id, in hexadecimal, begins so: a few of them where there are many."""
        return await self._reading.records_like(beginning)

    def search(self, words: str, *, chat: Chat | None = None, limit: int | None = None) -> AsyncIterator[Record]:
        """Records whose text holds every word, the newest first. Two Chinese characters are a word like any other."""
        return self._reading.search(words, chat=chat, limit=limit)

    def observe(self, chat: Chat, *, limit: int = 50) -> AsyncIterator[Change]:
        """The newest records of a conversation, then whatever happens to it, on this device or another.

        Begins with a `snapshot` for each record; then `changed` (new ones too) and `removed`. When more happens than is
        taken, it begins again: `reset`, then snapshots. Nothing is lost by reading slowly. Ends when the vault is closed.
        """
        return self._observing.observe(chat, limit=limit)

    # In and out

    async def import_exports(
        self,
        paths: Sequence[Path],
        *,
        options: ImportOptions | None = None,
        progress: OnProgress | None = None,
    ) -> ImportReport:
        """Import chat exports: files, zips and folders, recognised by their content. All of it, or nothing.

        Raises `SourceError` with what is wrong and where; the vault is then as it was.
        """
        chosen = options or ImportOptions()
        core = self._core
        with Worker(enabled=core.worker) as worker:  # which also ends when nobody waits for the result any more
            result = await core.long(lambda report: import_exports(core.local, paths, chosen, report, worker), progress)
        self._in_step.wake()
        return result

    async def export(
        self,
        out: Path,
        *,
        format: Literal["jsonl", "html"],
        files: Path | None = None,
        progress: OnProgress | None = None,
    ) -> ExportReport:
        """Write everything to a file, whole or not at all; `-` is standard output.

        With `files`, a directory that is made, the files of all messages are written there first, each once: what is not
        on this device is fetched. The same call goes on where an earlier one was interrupted. Raises `UsageError` for
        another format, `StoreError` where something cannot be written, and as `AttachmentFile.read`, but for files that
        the relay does not have: these are counted. A page shows small pictures in place of files that are not beside it.
        """
        check_format(format)
        written = Written() if files is None else await self._files.write_all(files, progress)
        paths = {} if files is None else relative_paths(written, files, out)
        records = await self._core.long(lambda report: export(self._core.local, out, format, report, paths), progress)
        return ExportReport(records, len(written.names), written.bytes, written.missing)

    # The relay

    async def sync(self, *, progress: OnProgress | None = None) -> SyncSummary:
        """Catch up with the other devices, and send what waits. One at a time: a second call waits for the first.

        Where there is much to read, as on a new device, the newest messages of every chat come first; they can be read, and
        written to, while the rest comes. Interrupted it goes on from where it was.

        Raises `TransportError` (try again later), `RefusedError`, or a `PeerError` where the relay or a device broke the
        protocol: what is on this device is then as safe as before.
        """
        return await self._relaying.sync(progress=progress)

    def background_sync(
        self,
        *,
        on_state: Callable[[SyncState], None] | None = None,
        interval: float = 15.0,
        progress: OnProgress | None = None,
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Sync as long as the block runs: after every write, and every `interval` seconds.

        Offline is normal: it waits longer and longer, and as long as the relay asks. Where the relay has no room for what
        waits here (`full`) it goes on reading, and tries to write from time to time.
        """
        return self._in_step.background_sync(on_state=on_state, interval=interval, progress=progress)

    async def verify(self, *, files: bool = False, progress: OnProgress | None = None) -> VerifyReport:
        """Read everything again from the relay and prove it against what this device has. Changes nothing.

        Of files the relay is asked whether it has them; with `files` they are read, too.
        """
        return await self._relaying.verify(files=files, progress=progress)

    async def repair(self, *, progress: OnProgress | None = None) -> RepairReport:
        """Bring back to a relay that was restored from a backup what this device still holds of the account.

        Call it when a person asks for it: until then a relay that lost something is reported as one that rolled back. What
        `missing` names another device may hold. Raises `HistoryError`: `rollback` where the relay lost something and does
        not say that it was restored, `fork` where it shows another history.
        """
        return await self._relaying.repair(progress=progress)

    async def checkpoint(self, words: tuple[str, str] | None = None) -> Checkpoint:
        """A code of four words for what this device was shown, with two random words; with the two that another device
        shows, the same code exactly when both were shown the same history. Needs no relay: sync both first.

        Raises `UsageError` for what is no word of the list, and where this device does not hold the newest key: it was
        removed, or has to sync first.
        """
        return await checkpoint(self._core, words)

    # Other devices

    async def accept(
        self,
        code: str,
        *,
        confirm: Callable[[Newcomer], Awaitable[bool]],
        on_wait: Callable[[int], None] | None = None,
    ) -> Linked:
        """Let the device in that shows this code, in words or in full.

        `confirm` is asked with the device's name and the confirmation words, which the other device shows too unless
        somebody stands between the two: ask the person, and return whether it may join and read everything. Raises
        `UsageError` for what is no code, before anything is sent, and `PairingError` where the two do not come together, or
        `confirm` said no: the code is used up then. `on_wait` is told where the new device has not answered for a few
        seconds, and for how many seconds more it is waited for at most: it may have been stopped.
        """
        from sealkeep_client.vault._pairing import Pairing

        return await Pairing(self._core, self._relaying).accept(code, confirm, on_wait)

    async def status(self) -> Status:
        """The vault at a glance, from this device alone."""
        return await self._core.in_store(lambda: read_status(self._core))

    # Devices and recovery kits

    @staticmethod
    async def verify_kit(kit: RecoveryKit, *, relay: str | None = None) -> KitReport:
        """Prove, with the kit alone, what it opens. Changes nothing, and needs no home. Raises as `sync` does."""
        line = HttpRelay(relay or kit.relay, now=time.monotonic)
        try:
            return await verify_kit(line, kit)
        finally:
            await line.close()

    @staticmethod
    async def close_account(kit: RecoveryKit, *, relay: str | None = None, now: Callable[[], int] = _now_ms) -> Closing:
        """Close the account with its kit: the relay takes and gives nothing any more. What devices have stays on them.

        Does nothing where it was closed before.
        """
        line = HttpRelay(relay or kit.relay, now=time.monotonic)
        try:
            return await close_account(line, kit, now=now)
        finally:
            await line.close()

    async def devices(self) -> list[DeviceInfo]:
        """The account's devices by number, removed ones too, as this device knew them at its last sync."""
        return await self._devices.devices()

    async def kits(self) -> list[KitInfo]:
        """The account's recovery kits by number, likewise."""
        return await self._devices.kits()

    async def missing_keys(self) -> list[MissingKey]:
        """The keys of segments that this device cannot read yet, ascending, and who was given them, likewise."""
        return await self._devices.missing_keys()

    async def device_log(self) -> list[RosterChange]:
        """The signed history of every change of keys, devices and kits, the oldest first, likewise."""
        return await self._devices.history()

    async def remove(
        self,
        *devices: int,
        on_kit: Callable[[RecoveryKit], None] | None = None,
        prepared: RecoveryKit | None = None,
        kit: RecoveryKit | None = None,
        since: int | None = None,
        discard: Mapping[int, int | None] = MappingProxyType({}),
    ) -> MembershipChange:
        """Remove devices by number: they read and write nothing any more. What they wrote is read first, and stays.

        What a removed device has added since roster entry `since` (the newest one that the person was shown; default: that
        this vault knows of) goes with it. Where a removed device has seen the recovery kit, `on_kit` gets a new one before
        anything is changed: write it down durably, and raise to give up; `prepared` is one that an earlier call handed out.
        `kit` signs in place of this device, and ends younger kits that stem from a removed one, whenever that was.
        `discard` gives up what a device wrote beyond a seq, or (None) beyond what can be verified; with the oldest `kit`
        that is in force also of a device that was removed before. Raises `UsageError` for what cannot be removed or given
        up, and otherwise as `sync`.
        """
        return await self._devices.remove(
            devices, on_kit=on_kit, prepared=prepared, kit=kit, since=since, discard=discard
        )

    async def rotate(self) -> MembershipChange:
        """Renew the account's keys: what is written from now on has new ones."""
        return await self._devices.rotate()

    async def replace_kit(
        self,
        *,
        on_kit: Callable[[RecoveryKit], None] | None = None,
        prepared: RecoveryKit | None = None,
        kit: RecoveryKit | None = None,
    ) -> MembershipChange:
        """Make a new recovery kit: the old one by itself opens nothing that is written from now on.

        Signed by this device, the old one can still remove all devices, and let nobody in. Signed by the old `kit` itself,
        which must be the current one, it can not. `on_kit` and `prepared` are as in `remove`.
        """
        return await self._devices.replace_kit(on_kit=on_kit, prepared=prepared, kit=kit)
