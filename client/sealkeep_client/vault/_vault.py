"""The vault: a person's chat records on this device, kept in step with their other devices through a relay."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from sealkeep_client import exporting
from sealkeep_client.engine import Progress as EngineProgress
from sealkeep_client.engine import Sync, Verification
from sealkeep_client.importers import ImportOptions
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.store import Changes, ConversationView, MessageEntry, Store, Unlock, UploadClass
from sealkeep_client.transport import Credentials, HttpRelay
from sealkeep_client.vault._background import Background, Wake
from sealkeep_client.vault._driver import Driver, StoreThread
from sealkeep_client.vault._importing import import_exports
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._setup import Sources, create_home, recover_home
from sealkeep_client.vault._types import (
    Change,
    Chat,
    Draft,
    ImportReport,
    OnProgress,
    Progress,
    Record,
    Status,
    SyncState,
    SyncSummary,
    VerifyReport,
)
from sealkeep_protocol.errors import TransportError, UsageError
from sealkeep_protocol.records import (
    ContactKey,
    Conversation,
    ConversationKey,
    ConversationType,
    Message,
    NativeIdentity,
    SourceIdentity,
    encode_body,
)
from sealkeep_protocol.roster import open_name

T = TypeVar("T")

_HITS = 50
_OBSERVED = 256
_NAMES = 4096


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Vault:
    """One device's vault. Open it with `create`, `open` or `recover`, and close it, or use it as a context manager.

        async with await Vault.open(home, unlock=Passphrase(ask)) as vault:
            chat = await vault.conversation("telegram:user:42")
            record = await vault.append(chat, Text("hi"))

    A record that `append` returned is durable on this device and survives the end of the process at any point; `uploaded`
    waits until the relay has it durably too. Any await may be cancelled without loss. Errors are `SealkeepError`s;
    `.retryable` says whether the same call may succeed later.
    """

    def __init__(self, store: Store, relay: HttpRelay, local: Local, thread: StoreThread, sources: Sources) -> None:
        self._store = store
        self._relay = relay
        self._local = local
        self._thread = thread
        self._sources = sources
        self._syncing = asyncio.Lock()
        self._settled = asyncio.Condition()
        self._wake = Wake()
        self._background: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._observers: set[Callable[[], None]] = set()  # each wakes one
        self._names: dict[ContactKey, str] = {}
        store.listen(self._forget_names)
        self._use_device()

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

        vault = await cls._begin(line, make, sources)
        try:
            await vault._register()
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
        now: Callable[[], int] = _now_ms,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Open this device's vault. Works without the relay. Raises `StoreError`: no home, wrong passphrase, in use, …"""

        async def load(thread: StoreThread) -> Store:
            return await thread.open(Store.open, home, unlock)

        return await cls._begin(None, load, Sources(now, entropy))

    @classmethod
    async def recover(
        cls,
        home: Path,
        *,
        kit: RecoveryKit,
        unlock: Unlock,
        name: str,
        relay: str | None = None,
        now: Callable[[], int] = _now_ms,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Make this device a new one of the kit's account. The records come with the first `sync`.

        `relay` is where the account is now, if not where the kit says.
        """
        sources = Sources(now, entropy)
        line = HttpRelay(relay or kit.relay, now=time.monotonic)

        async def make(thread: StoreThread) -> Store:
            return await recover_home(
                home, relay=line, kit=kit, unlock=unlock, name=name, thread=thread, sources=sources
            )

        return await cls._begin(line, make, sources)

    @classmethod
    async def _begin(cls, line: HttpRelay | None, make: Callable[[StoreThread], Any], sources: Sources) -> Self:
        thread = StoreThread()
        try:
            store = await make(thread)
            local = await thread.run(lambda: Local(store, now=sources.now))
            if line is None:
                line = HttpRelay(await thread.run(local.get, "relay"), now=time.monotonic)
            return cls(store, line, local, thread, sources)
        except BaseException:
            if line is not None:
                await line.close()
            await thread.close()
            raise

    async def close(self) -> None:
        """Stop the background sync, end those who observe, and close the home. May be called again."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)  # a caller who is cancelled leaves nothing half closed

    async def _close(self) -> None:
        await self._stop_background()
        for wake in tuple(self._observers):
            wake()
        await self._relay.close()
        await self._thread.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Vault {self._local.account.id.hex()[:16]}… device {self._local.account.device}>"

    # Conversations and records

    async def conversation(
        self, name: str, *, title: str | None = None, type: ConversationType = ConversationType.UNKNOWN
    ) -> Chat:
        """The conversation of this name, `app:identifier` (`telegram:user:42`); it is made when it is new, and changed when
        it gets another title or type.

        Raises `UsageError` for a name without an app, or one that is too long.
        """
        app, colon, source = name.partition(":")
        if not (app and colon and source):
            raise UsageError("a conversation is named app:identifier, for example telegram:user:42")
        key = ConversationKey(app, "", source)
        return await self._in_store(lambda: self._open_conversation(key, title, type))

    def _open_conversation(self, key: ConversationKey, title: str | None, kind: ConversationType) -> Chat:
        store = self._store
        found = store.views.conversation(store.ids.conversation(key))
        known = found.record if found is not None and isinstance(found.record, Conversation) else None
        wanted = Conversation(
            key=key,
            title=title or (known.title if known else key.source),
            type=kind or (known.type if known else ConversationType.UNKNOWN),
            rank=self._sources.now(),
            extension=known.extension if known else None,
        )
        if known is None or (wanted.title, wanted.type) != (known.title, known.type):
            with _fitting():
                encode_body(conversations=[wanted])
            store.put(conversations=[wanted], upload=UploadClass.LIVE)
            found = store.views.conversation(store.ids.conversation(key))
        if found is None:
            raise UsageError("the conversation could not be made")
        return _chat(found)

    async def conversations(self) -> list[Chat]:
        """All conversations, the one with the newest message first."""

        def load() -> list[Chat]:
            chats = [_chat(view) for view in self._store.views.conversations()]
            return sorted(chats, key=lambda chat: (-(chat.last or -(1 << 62)), chat.id))

        return await self._in_store(load)

    async def append(self, chat: Chat, content: Draft, *, source: SourceIdentity | None = None) -> Record:
        """Add a message to a conversation. It is durable on this device when this returns.

        With `source`, the app's own identifier of the message, the call is idempotent, and an import of the same message
        adds nothing; without it every call adds one. Raises `UsageError` for content that no record can hold: it is longer
        than 64 KiB, say.
        """
        record = await self._in_store(lambda: self._append(chat, content, source))
        self._wake.wake()
        return record

    def _append(self, chat: Chat, content: Draft, source: SourceIdentity | None) -> Record:
        store, now = self._store, self._sources.now()
        with store.transaction():
            native = None
            stamp = self._local.clock.stamp(now)
            if source is None:
                native = NativeIdentity(self._local.account.device, stamp, self._sources.random(16), 0)
                self._local.put("clock", self._local.clock.last)
            message = Message(
                conversation=chat.key,
                time=now if content.time is None else content.time,
                kind=content.kind,
                source=source,
                native=native,
                precision=content.precision,
                rank=stamp & 0xFFFF if content.time is None else 0,  # the order within a millisecond of now
                offset=content.offset,
                received=content.received,
                author=content.author,
                author_name=content.author_name,
                direction=content.direction,
                text=content.text,
                ranges=content.ranges,
                reply_to=content.reply_to,
                attachments=content.attachments,
                details=content.details,
                extension=content.extension,
            )
            if source is not None and content.time is None:
                message = self._timed_as_before(message)
            with _fitting():
                encode_body(messages=[message])
            store.put([message], upload=UploadClass.LIVE)
        entry = store.views.message(store.ids.message(message))
        if entry is None:
            raise UsageError("the message could not be added")
        return self._record(entry)

    def _timed_as_before(self, message: Message) -> Message:
        """The message at the time at which it was added first, if it was: the same call says nothing new."""
        with _fitting():
            known = self._store.views.message(self._store.ids.message(message))
        if known is None:
            return message
        before = known.view.message
        return replace(message, time=before.time, precision=before.precision, offset=before.offset, rank=before.rank)

    async def uploaded(self, record: Record | bytes, *, timeout: float | None = None) -> None:
        """Wait until the relay has a record durably. Syncs itself where no background sync is running.

        Raises `TransportError` when `timeout` seconds pass first, and `UsageError` for a record that is not here.
        """
        identifier = record if isinstance(record, bytes) else record.id
        try:
            async with asyncio.timeout(timeout):
                while not await self._is_uploaded(identifier):
                    if self._background is None or self._background.done():
                        await self.sync()
                        continue
                    async with self._settled:
                        if not await self._is_uploaded(identifier):
                            await self._settled.wait()
        except TimeoutError as error:
            raise TransportError("the relay has not confirmed the record in time; it is safe on this device") from error

    async def _is_uploaded(self, identifier: bytes) -> bool:
        found = await self._in_store(lambda: self._store.is_uploaded(identifier))
        if found is None:
            raise UsageError("there is no such record in this vault")
        return found

    async def history(
        self, chat: Chat, *, before: Record | None = None, limit: int = 50
    ) -> AsyncIterator[list[Record]]:
        """Pages of a conversation, the newest page first, each in the order of time; `before` begins further back."""
        place = before.place if before is not None else None
        while True:
            entries = await self._in_store(
                lambda place=place: self._records(  # type: ignore[misc]
                    self._store.views.history(chat.id, before=place, limit=limit)
                )
            )
            if not entries:
                return
            yield entries
            place = entries[0].place

    async def record(self, identifier: bytes) -> Record | None:
        """A record by id."""

        def load() -> Record | None:
            entry = self._store.views.message(identifier)
            return None if entry is None else self._record(entry)

        return await self._in_store(load)

    async def search(self, words: str, *, chat: Chat | None = None, limit: int | None = None) -> AsyncIterator[Record]:
        """Records whose text holds every word, the newest first. Two Chinese characters are a word like any other."""
        hits = await self._in_store(
            lambda: self._store.views.search(words, conversation=chat.id if chat else None, limit=limit)
        )
        while page := await self._in_store(lambda: self._records(islice(hits, _HITS))):
            for record in page:
                yield record

    async def observe(self, chat: Chat, *, limit: int = 50) -> AsyncIterator[Change]:
        """The newest records of a conversation, then whatever happens to it, on this device or another.

        Begins with a `snapshot` for each record; then `changed` (new ones too) and `removed`. When more happens than is
        taken, it begins again: `reset`, then snapshots. Nothing is lost by reading slowly. Ends when the vault is closed.
        """
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[set[bytes] | None](_OBSERVED)
        overflow = False

        def enqueue(ids: set[bytes] | None) -> None:
            nonlocal overflow
            if queue.full():
                overflow = True
            else:
                queue.put_nowait(ids)

        def changed(changes: Changes) -> None:
            if chat.id in changes.messages:
                with contextlib.suppress(RuntimeError):  # the observer's loop is gone, and he with it
                    loop.call_soon_threadsafe(enqueue, changes.messages[chat.id])

        def newest() -> list[Record]:
            return self._records(self._store.views.history(chat.id, limit=limit))

        def wake() -> None:
            enqueue(set())

        stops: list[Callable[[], None]] = []
        self._observers.add(wake)
        try:
            await self._in_store(lambda: stops.append(self._store.listen(changed)))
            for record in await self._in_store(newest):
                yield Change("snapshot", record)
            while True:
                ids = await queue.get()
                if self._closing is not None:
                    return
                if overflow or ids is None:
                    overflow = False
                    while not queue.empty():
                        queue.get_nowait()
                    yield Change("reset")
                    for record in await self._in_store(newest):
                        yield Change("snapshot", record)
                    continue
                for identifier in sorted(ids):
                    found = await self.record(identifier)
                    if found is not None:
                        yield Change("removed" if found.view.tombstone is not None else "changed", found)
        finally:
            self._observers.discard(wake)
            with contextlib.suppress(UsageError):  # closed, and all listeners with it
                await self._in_store(lambda: [stop() for stop in stops])

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
        result = await self._long(lambda report: import_exports(self._store, paths, chosen, report), progress)
        self._wake.wake()
        return result

    async def export(self, out: Path, *, format: Literal["jsonl", "html"], progress: OnProgress | None = None) -> int:
        """Write everything to a file, whole or not at all; `-` is standard output. Returns the number of records.

        Raises `UsageError` for another format, `StoreError` where the file cannot be written.
        """
        writers = {"jsonl": exporting.write_lines, "html": exporting.write_page}
        if format not in writers:
            raise UsageError("an export is jsonl or html")
        records = 0

        def counted(report: Callable[[Progress], None]) -> Iterator[Any]:
            nonlocal records
            for entry in self._store.views.everything():
                if isinstance(entry, MessageEntry):
                    records += 1
                    if records % 1000 == 0:
                        report(Progress("exporting", records, None, records))
                yield entry

        def write_whole(report: Callable[[Progress], None]) -> int:
            with exporting.output(str(out)) as file:
                writers[format](counted(report), file, ids=self._store.ids)
            return records

        return await self._long(write_whole, progress)

    # The relay

    async def sync(self, *, progress: OnProgress | None = None) -> SyncSummary:
        """Catch up with the other devices, and send what waits. One at a time: a second call waits for the first.

        Raises `TransportError` (try again later), `RefusedError`, or a `PeerError` where the relay or a device broke the
        protocol: what is on this device is then as safe as before.
        """
        async with self._syncing:
            await self._register()
            # On the store's thread, behind what a sync that was cancelled may still have under way there.
            sync = await self._in_store(self._make_sync)
            driver = Driver(self._local, self._relay, self._thread, _engine_progress(progress))
            try:
                report = await driver.run(sync.run())
            finally:
                async with self._settled:
                    self._settled.notify_all()
            await self._in_store(lambda: self._note_sync(report.used, report.allowed))
        return SyncSummary(
            received=report.records_read,
            sent=report.records_written,
            segments_received=report.segments_read,
            segments_sent=report.segments_written,
            unreadable=report.unreadable,
        )

    def _make_sync(self) -> Sync:
        return Sync(
            self._local.account,
            self._store.ids,
            known=self._local.known,
            refused=self._local.refused,
            random=self._sources.random,
            sent_to=self._local.get("sent-to"),
            floor=self._local.get("kit-heads") or (),
        )

    def _note_sync(self, used: int, allowed: int) -> None:
        self._local.put("last-sync", [self._sources.now(), used, allowed])

    @contextlib.asynccontextmanager
    async def background_sync(
        self, *, on_state: Callable[[SyncState], None] | None = None, interval: float = 15.0
    ) -> AsyncIterator[None]:
        """Sync as long as the block runs: after every write, and every `interval` seconds. Offline is normal."""
        if self._background is not None and not self._background.done():
            raise UsageError("a background sync is running already")
        if self._closing is not None:
            raise UsageError("the vault is closed")
        background = Background(
            self.sync, on_state=on_state, interval=interval, jitter=random.random, sleep=self._wake.sleep
        )
        self._background = asyncio.create_task(self._run_background(background))
        try:
            yield
        finally:
            await self._stop_background()

    async def _run_background(self, background: Background) -> None:
        try:
            await background.run()
        finally:
            async with self._settled:  # whoever waits for it syncs alone, and meets the error
                self._settled.notify_all()

    async def _stop_background(self) -> None:
        task, self._background = self._background, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def verify(self, *, progress: OnProgress | None = None) -> VerifyReport:
        """Read everything again from the relay and prove it against what this device has. Changes nothing."""
        async with self._syncing:
            verification = await self._in_store(lambda: Verification(self._local.account, self._local.known))
            driver = Driver(self._local, self._relay, self._thread, _engine_progress(progress))
            result = await driver.run(verification.run())
        return VerifyReport(result.entries, result.segments, result.records, result.bytes, result.unreadable)

    async def status(self) -> Status:
        """The vault at a glance, from this device alone."""
        return await self._in_store(self._status)

    def _status(self) -> Status:
        account, store = self._local.account, self._store
        last, used, allowed = self._local.get("last-sync") or (None, 0, 0)
        conversations, messages = store.views.counts()
        own = account.roster.devices[account.device]
        return Status(
            relay=self._local.get("relay"),
            account=account.id,
            device=account.device,
            device_name=open_name(account.epoch(own.name_epoch), own),
            devices=len(account.roster.active_devices),
            conversations=conversations,
            messages=messages,
            waiting=store.count_waiting(),
            last_sync=last,
            used=used,
            allowed=allowed,
            size=store.size(),
            unreadable=tuple(
                f"device {device}, seq {seq}: {code}" for device, seq, code in self._local.get("unreadable") or []
            ),
        )

    # Beneath

    async def _register(self) -> None:
        """Tell the relay of a new account, if it does not know it yet."""
        wraps = await self._in_store(lambda: self._local.get("unsent-wraps"))
        if wraps is None:
            return
        genesis = await self._in_store(lambda: self._store.sync.roster()[0])
        await self._relay.create_account(genesis, wraps)
        await self._in_store(lambda: self._local.put("unsent-wraps", None))

    def _records(self, entries: Iterable[MessageEntry]) -> list[Record]:
        return [self._record(entry) for entry in entries]

    def _record(self, entry: MessageEntry) -> Record:
        message = entry.view.message
        author = message.author_name
        if author is None and message.author is not None:
            author = self._name(ContactKey(message.conversation.app, message.conversation.scope, message.author))
        return Record(entry.id, entry.view, entry.key, author)

    def _name(self, key: ContactKey) -> str:
        """The name of a contact; its source where nothing else is known."""
        if key not in self._names:
            contact = self._store.contact(key)
            shown = (contact.remark or contact.name or contact.alias) if contact is not None else None
            if len(self._names) >= _NAMES:
                self._names.clear()
            self._names[key] = shown or key.source
        return self._names[key]

    def _forget_names(self, changes: Changes) -> None:
        if changes.contacts:
            self._names.clear()

    def _use_device(self) -> None:
        account = self._local.account
        self._relay.use(Credentials(account.id, account.signer, account.keys.signing, account.identity))

    async def _in_store(self, function: Callable[[], T]) -> T:
        return await self._thread.run(function)

    async def _long(self, work: Callable[[Callable[[Progress], None]], T], progress: OnProgress | None) -> T:
        """Run long work on the store's thread. Cancelling the caller stops it at its next report: nothing of it stays."""
        tell, cancelled = self._reporter(progress), threading.Event()

        def report(step: Progress) -> None:
            if cancelled.is_set():
                raise UsageError("nobody waits for this any more")
            tell(step)

        try:
            return await self._in_store(lambda: work(report))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def _reporter(self, progress: OnProgress | None) -> Callable[[Progress], None]:
        """A reporter for the store's thread that calls `progress` on the event loop."""
        if progress is None:
            return lambda report: None
        loop = asyncio.get_running_loop()
        return lambda report: (loop.call_soon_threadsafe(progress, report), None)[1]


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    """What no record can hold is a mistake of the caller."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageError(f"this cannot be kept: {error}") from error


def _engine_progress(progress: OnProgress | None) -> Callable[[EngineProgress], None] | None:
    if progress is None:
        return None
    return lambda step: progress(Progress(step.phase, step.segments, None, step.records))


def _chat(view: ConversationView) -> Chat:
    record = view.record if isinstance(view.record, Conversation) else None
    return Chat(
        key=view.key,
        id=view.id,
        title=record.title if record is not None else view.key.source,
        type=record.type if record is not None else ConversationType.UNKNOWN,
        messages=view.messages,
        last=view.last,
        reads=view.reads,
    )
