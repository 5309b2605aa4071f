"""The device's store: one object for one open home."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Self

from sealkeep_client.store._awaited import AwaitedSegments
from sealkeep_client.store._batches import Found, Reader
from sealkeep_client.store._changes import Listener, Tracker
from sealkeep_client.store._content_records import ContentRecords
from sealkeep_client.store._database import Database
from sealkeep_client.store._entities import Entities, Put
from sealkeep_client.store._errors import storing
from sealkeep_client.store._front import Front
from sealkeep_client.store._home import DATABASE, EVIDENCE, KEY_FILE, Home, is_held, is_home, write_file
from sealkeep_client.store._kept import Kept
from sealkeep_client.store._marks import Marks
from sealkeep_client.store._media import Media
from sealkeep_client.store._messages import Messages
from sealkeep_client.store._migrations import create, migrate
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._piece_files import MEDIA, PieceFiles
from sealkeep_client.store._previews import Previews
from sealkeep_client.store._rows import MessageRows, message_rows
from sealkeep_client.store._sync_state import SyncState
from sealkeep_client.store._unlock import KEY_SIZE, MAX_KEY_FILE, Unlock, read_key_file, read_method, write_key_file
from sealkeep_client.store._uploads import Uploads
from sealkeep_client.store._views import Views
from sealkeep_client.store._waiting import RecordKind, UploadClass
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import StoreError, UsageError
from sealkeep_protocol.records import Body, Contact, ContactKey, Conversation, Mark, Message, RecordIds, Unknown

_MEDIA_KEY: Final = "store.media-key"


class Store:
    """An open home: its lock and its database. Use it from one thread; see the package for how.

    `outbox`, `front`, `sync`, `kept`, `awaited`, `media`, `records`, `previews`, `uploads` and `views` are its parts.
    `ids` must be set before records are put or contacts looked up: it needs the first epoch's secret, which a new device
    learns late.
    """

    def __init__(self, home: Home, database: Database) -> None:
        self._home = home
        self._database = database
        self._tracker = Tracker()
        self._ids: RecordIds | None = None
        self.outbox = Outbox(database, Reader(self._read, lambda rows: self._messages.keys(rows)))
        self.front = Front(database, self.outbox, lambda: self.ids)
        self.sync = SyncState(database)
        self.kept = Kept(database)
        self.awaited = AwaitedSegments(database)
        self.media = Media(database, PieceFiles(home.path / MEDIA, self._media_key()))
        self.records = ContentRecords(database)
        self.previews = Previews(database, self.outbox)
        self.uploads = Uploads(database, self.outbox, self.records)
        self._entities = Entities(database, self.outbox, self._tracker, lambda: self.ids)
        self._messages = Messages(database, self._entities, self.outbox, self._tracker)
        self._marks = Marks(database, self._entities, self._messages, self.outbox, self.uploads, self._tracker)
        self.views = Views(database, self._entities, self._messages)
        database.before_commit.append(self.media.before_commit)
        database.on_commit += [self.media.committed, self._tracker.committed]
        database.on_rollback += [
            self._tracker.rolled_back,
            self.media.forget,
            self.outbox.forget,
            self._entities.forget,
            self._messages.forget,
            self._marks.forget,
        ]

    def __repr__(self) -> str:
        return "Store(…)"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- opening ------------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, unlock: Unlock) -> Store:
        """Make a new home at `path`. It counts only from `publish` on: until then a crash leaves what the next `create`
        removes.

        Raises `StoreError` where a home is there already or another process has it open, and `UsageError` for an empty
        passphrase.
        """
        home = Home(path)
        try:
            directory = home.start()
            key = secrets.token_bytes(KEY_SIZE)
            write_file(directory / KEY_FILE, write_key_file(unlock, key))
            database = Database(directory / DATABASE, key, create=True)
            try:
                create(database)
                return cls(home, database)
            except BaseException:
                database.close()
                raise
        except BaseException:
            home.close()
            raise

    @classmethod
    def open(cls, path: Path, unlock: Unlock) -> Store:
        """Open the home at `path`, and bring its schema up to date.

        Raises `StoreError`: no home there, open in another process, wrong passphrase, locked keyring, damaged, of a
        newer version.
        """
        if not is_home(path):
            raise StoreError("there is no home here: make one with `sealkeep init`, or give its directory with --home")
        home = Home(path)
        return cls._open(home, home.complete, unlock)

    @classmethod
    def resume(cls, path: Path, unlock: Unlock) -> Store:
        """Open the home at `path` that was held and not published. Raises `StoreError` as `open` does."""
        if not is_held(path):
            raise StoreError("nothing was begun here that could be gone on with")
        home = Home(path)
        return cls._open(home, home.new, unlock)

    @classmethod
    def _open(cls, home: Home, directory: Path, unlock: Unlock) -> Store:
        try:
            key = read_key_file(unlock, _key_file(directory))
            database = Database(directory / DATABASE, key)
            try:
                migrate(database)
                store = cls(home, database)
                store.media.sweep()
                return store
            except BaseException:
                database.close()
                raise
        except BaseException:
            home.close()
            raise

    def hold(self) -> None:
        """Keep a home from `create`, as it is stored by now, for `resume`: no later `create` removes it."""
        self._home.hold()

    def release(self) -> None:
        """Undo `hold`: the next `create` may remove it."""
        self._home.release()

    def publish(self) -> None:
        """Make a home from `create` the one that `open` opens: all that was stored in it appears at once."""
        # Closed first: SQLite knows its files by path, and a path changes.
        if self._home.exists:
            raise UsageError("this home is complete already")
        self._database.close()
        self._home.publish()
        self._database.reopen(self._home.complete / DATABASE)

    def close(self) -> None:
        """Close the database and let go of the home. May be called again."""
        try:
            self._database.close()
        finally:
            self._home.close()

    def _media_key(self) -> bytes:
        """The key of the home's media; it is made when it is first wanted."""
        with self.transaction():
            key: bytes | None = self.sync.get(_MEDIA_KEY)
            if key is None:
                key = secrets.token_bytes(KEY_SIZE)
                self.sync.put(_MEDIA_KEY, key)
        return key

    # --- records ------------------------------------------------------------------------------------------------------

    @property
    def ids(self) -> RecordIds:
        """How this account's records are named. Raises `UsageError` before it is set."""
        if self._ids is None:
            raise UsageError("the account's record-id key is not known yet")
        return self._ids

    @ids.setter
    def ids(self, ids: RecordIds) -> None:
        self._ids = ids

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside are kept, durably, or none. May be nested; a failed inner one fails the outer."""
        return self._database.transaction()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(changes)` after each commit that changed something, on this thread; returns how to stop."""
        return self._tracker.listen(listener)

    def put(
        self,
        messages: Sequence[Message] | MessageRows = (),
        *,
        marks: Iterable[Mark] = (),
        contacts: Iterable[Contact] = (),
        conversations: Iterable[Conversation] = (),
        upload: UploadClass | None,
        run: int = 0,
        volatile: frozenset[str] = frozenset(),
    ) -> Put:
        """Join records into the store, in one transaction; what adds nothing is counted as unchanged.

        `upload` is the class in which what is new is to be uploaded, with `run` the number of its import
        (`outbox.start_run`); None for records that came from the relay. Messages may be rows that `message_rows` made
        elsewhere. Of a message that is here already only what is new is uploaded: a differing text as a revision,
        attachments as a supplement. Keys of the extension that a source changes from export to export, `volatile`,
        count only in the first copy.
        """
        with self.transaction():
            put = self._entities.put_contacts(contacts, upload, run)
            put = put.plus(self._entities.put_conversations(conversations, upload, run))
            rows = messages if isinstance(messages, MessageRows) else message_rows(messages, self.ids)
            inserted, more = self._messages.insert(rows, upload, run, volatile)
            put = put.plus(inserted)
            if more:
                # Counted as their messages. What another device's copy displaces here is news to the others too.
                self._marks.put(more, self.ids, UploadClass.LIVE if upload is None else upload, run)
            return put.plus(self._marks.put(marks, self.ids, upload, run))

    def put_unknown(self, unknown: Unknown, *, ids: Mapping[int, Sequence[bytes]]) -> None:
        """Keep what a newer version wrote, untouched (REC-03).

        `ids` holds, by table number, the ids of the body's records in that table, in order.
        """
        rows: list[tuple[int, bytes, int, bytes, bytes]] = []
        for kind, table in unknown.tables.items():
            rows.append((kind, b"", 0, *_digested(table)))
        for kind, fields in unknown.fields.items():
            for number, values in fields.items():
                for record_id, value in zip(ids[kind], values, strict=True):
                    if value is not None:
                        rows.append((kind, record_id, number, *_digested(value)))
        if rows:
            with self.transaction():
                self._database.write_many("INSERT OR IGNORE INTO unknown VALUES (?, ?, ?, ?, ?)", rows)

    def count_missing(self, body: Body) -> int:
        """How many records of a body are not here."""
        ids = self.ids
        wanted = {
            "contacts": [ids.contact(contact.key) for contact in body.contacts],
            "conversations": [ids.conversation(conversation.key) for conversation in body.conversations],
            "messages": ids.messages(body.messages),
            "marks": [ids.mark(mark) for mark in body.marks],
        }
        missing = 0
        for table, named in wanted.items():
            found = self._database.among(f"SELECT id FROM {table} WHERE id IN carray(?)", named)  # noqa: S608
            missing += len(set(named)) - sum(1 for _ in found)
        return missing

    def settle_contents(self, device: int, seq: int) -> None:
        """A pending segment has its receipt: note the content records in it, and the marks that wait for nothing any
        more.

        Call before the segment is dropped from the outbox.
        """
        pending = self.outbox.pending(seq)
        if pending is not None:
            self.uploads.stored(device, seq, pending.contents)
            self.uploads.sent(pending.carried)

    def write_evidence(self, name: str, data: bytes) -> Path:
        """Write a file of evidence beside the vault, once; returns where. Raises `StoreError`."""
        folder = self._home.path / EVIDENCE
        with storing():
            folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        if not path.exists():
            write_file(path, data)
        return path

    def count_waiting(self) -> int:
        """How many records wait to be uploaded, or are sealed and without an answer."""
        sealed = 0
        for seq in self.outbox.pending_seqs():
            pending = self.outbox.pending(seq)
            if pending is not None:
                sealed += sum(s.last - s.first + 1 for s in pending.carried if s.upload != UploadClass.FRONT)
        marks, _, _ = self.uploads.count()
        return marks + sealed + sum(w.records for w in self.outbox.waiting() if w.upload != UploadClass.FRONT)

    def size(self) -> int:
        """Bytes of the database's files and of the media."""
        with storing():
            database = sum(file.stat().st_size for file in self._home.complete.iterdir())
        return database + self.media.size()

    def gone(self, messages: Sequence[bytes]) -> set[bytes]:
        """Those of some messages (by their ids) that a tombstone covers."""
        found = self._database.among("SELECT target FROM marks WHERE type = 5 AND target IN carray(?)", messages)
        return {target for (target,) in found}

    def is_uploaded(self, message: bytes) -> bool | None:
        """Whether neither a message (its id) nor a file of it waits, or is in a segment without an answer; None where
        it is not here."""
        row = self._messages.states.by_id(message)
        if row is None:
            return None
        return not self.outbox.waits(RecordKind.MESSAGE, row.n) and not self.uploads.are_awaited(message)

    def contact(self, key: ContactKey) -> Contact | None:
        """A contact by key."""
        return self._entities.contact(self.ids.contact(key))

    def _read(self, kind: int, first: int, last: int, limit: int) -> Found:
        if kind == RecordKind.MESSAGE:
            return self._messages.read(first, last, limit)
        if kind == RecordKind.MARK:
            return self._marks.read(first, last, limit)
        if kind == RecordKind.PREVIEW:
            return self.previews.read(first, last, limit)
        return self._entities.read(kind, first, last, limit)


def _digested(value: Any) -> tuple[bytes, bytes]:
    encoded = cbor.encode(value)
    return hashlib.sha256(encoded).digest(), encoded


def _key_file(directory: Path) -> bytes:
    path = directory / KEY_FILE
    with storing():
        if not path.is_file():
            raise StoreError("the key file of this home is missing: restore this device with the recovery kit")
        return path.read_bytes()[: MAX_KEY_FILE + 1]


def unlock_method(path: Path, *, held: bool = False) -> str | None:
    """How the home at `path` is unlocked: "passphrase" or "keyring"; None where there is none. Takes no lock.

    With `held`, one that was begun and not published (`Store.resume`).
    """
    home = path / ("vault.new" if held else "vault")
    return read_method(_key_file(home))[0] if (is_held(path) if held else home.is_dir()) else None
