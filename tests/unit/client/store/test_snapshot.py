"""The view of a store is the fold of its records, in whatever order, batches and way they came (REC-06)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.store import (
    ContactEntry,
    ConversationView,
    MessageEntry,
    Receipt,
    Store,
    Upload,
    UploadClass,
)
from sealkeep_client.store._database import Database
from sealkeep_client.store._home import DATABASE, Home
from sealkeep_client.store._migrations import create
from sealkeep_client.store._words import fold as fold_text
from sealkeep_protocol.records import (
    Contact,
    ContactKey,
    ContentRecord,
    Conversation,
    ConversationKey,
    Mark,
    Message,
    NativeIdentity,
    RecordIds,
    View,
    fold,
    order_key,
)
from support import record_strategies as some

IDS = RecordIds(bytes(range(32)))
OTHER = ConversationKey("telegram", "", "user:7")
Record = Contact | Conversation | Message | Mark

# Few values each, so that copies agree often enough to be joined in every way.
chats = st.sampled_from([some.CHAT, OTHER])
copies = st.builds(
    Message,
    conversation=chats,
    source=st.integers(1, 3),
    time=st.integers(0, 130_000),
    precision=st.integers(0, 3),
    kind=st.integers(0, 2),
    rank=st.integers(0, 2),
    author=st.none() | st.sampled_from("ab"),
    text=st.none() | st.sampled_from(["", "x", "你好", "hello wide"]),
    ranges=st.none() | st.just(()) | some.ranges,
    edited=st.none() | st.integers(0, 2),
    reply_to=st.none() | some.sources | some.record_ids,
    pinned=st.none() | st.booleans(),
    attachments=st.none() | some.attachments,
    details=st.none() | st.dictionaries(st.just("k"), st.booleans() | st.integers(0, 1), max_size=1),
)
# One identity whatever the conversation, so that a join may move a message to another.
natives = st.builds(replace, copies, source=st.none(), native=st.just(NativeIdentity(1, 2, bytes(16), 0)))
targets = st.sampled_from(
    [IDS.source(chat, source) for chat in (some.CHAT, OTHER) for source in (1, 2)]
    + [IDS.native(NativeIdentity(1, 2, bytes(16), 0)), bytes(16)]
)
contacts = st.builds(
    Contact,
    key=st.builds(ContactKey, st.just("a"), st.just(""), st.sampled_from("xy")),
    name=some.short,
    rank=st.integers(0, 1),
)
conversations = st.builds(Conversation, key=chats, title=some.short, rank=st.integers(0, 1))
records = st.one_of(copies, copies, natives, some.marks_for(targets), some.marks_for(targets), contacts, conversations)


@contextmanager
def store() -> Iterator[Store]:
    """A store without the cost of a passphrase."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        database = Database(home.start() / DATABASE, bytes(32), create=True)
        create(database)
        with Store(home, database) as opened:
            opened.ids = IDS
            yield opened


def put(opened: Store, batch: Sequence[Record], upload: UploadClass | None = None) -> None:
    def of(kind: type) -> list[Any]:
        return [record for record in batch if isinstance(record, kind)]

    opened.put(of(Message), marks=of(Mark), contacts=of(Contact), conversations=of(Conversation), upload=upload)


def seen(opened: Store) -> list[Any]:
    """All that a store shows, so that a difference of type shows too."""
    return plain(opened.views.everything())


def plain(entries: Iterable[Any]) -> list[str]:
    """Entries as texts, enums as the numbers they are."""
    return [re.sub(r"<\w+\.\w+: (\d+)>", r"\1", repr(entry)) for entry in entries]


def folded(found: Sequence[Record]) -> View:
    def of(kind: type) -> list[Any]:
        return [record for record in found if isinstance(record, kind)]

    return fold(IDS, contacts=of(Contact), conversations=of(Conversation), messages=of(Message), marks=of(Mark))


def expected(view: View) -> list[Any]:
    """What a store must show of a view."""
    entries: list[Any] = [ContactEntry(IDS.contact(key), contact) for key, contact in view.contacts.items()]
    entries.sort(key=lambda entry: entry.id)
    keys = set(view.conversations) | {one.message.conversation for one in view.messages.values()}
    for key in sorted(keys, key=IDS.conversation):
        shown = [
            MessageEntry(record_id, one, order_key(one.message, record_id))
            for record_id, one in view.messages.items()
            if one.message.conversation == key
        ]
        last = shown[-1].key[0] if shown else None
        record = view.conversations.get(key)
        reads = dict(sorted(view.reads.get(key, {}).items(), key=lambda item: (item[0] is not None, item[0])))
        entries.append(ConversationView(IDS.conversation(key), key, record, len(shown), last, reads))
        entries += shown
    return plain(entries)


@given(st.data(), st.lists(records, max_size=12))
def test_view_is_the_fold(data: st.DataObject, found: list[Record]) -> None:
    """REC-06, REC-07"""
    wanted = expected(folded(found))
    again = data.draw(st.lists(st.sampled_from(found), max_size=3)) if found else []
    order = data.draw(st.permutations([*found, *again]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    with store() as opened:
        for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            put(opened, order[start:end])
        assert seen(opened) == wanted
        check_index(opened)
        # What the others do not know: a text that a copy of theirs displaced would be, but nothing of this waits.
        assert opened.outbox.waiting() == []


def check_index(opened: Store) -> None:
    """Search finds exactly the messages whose shown text holds the word."""
    messages = [entry for entry in opened.views.everything() if isinstance(entry, MessageEntry)]
    newest = sorted(messages, key=lambda entry: entry.key, reverse=True)
    for word in ("x", "你好", "你", "好", "wide", "wide hello"):
        wanted = [entry.id for entry in newest if all(part in shown(entry) for part in word.split())]
        assert [entry.id for entry in opened.views.search(word)] == wanted, word


def shown(entry: MessageEntry) -> str:
    """The text of a message as a search sees it: these words say nothing of case, width or accents."""
    return fold_text(entry.view.message.text or "")


# An edit of nothing (no text, but ranges or a time of edit) that loses before it is sealed is nowhere but here: a
# revision has a text, and its place in the history is not worth a record of its own.
said = records.map(
    lambda one: replace(one, ranges=None, edited=None) if isinstance(one, Message) and one.text is None else one
)
batches = st.lists(said, max_size=5)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 1), batches),
        st.tuples(st.just("upload"), st.integers(0, 1), st.integers(1, 4), batches, st.booleans()),
        st.tuples(st.just("fetch"), st.integers(0, 1)),
    ),
    max_size=12,
)


def bring_contents(opened: Store) -> None:
    """Have the contents that marks wait for be at the relay, whatever they hold."""
    with opened.transaction():
        for (root,) in opened._database.rows("SELECT DISTINCT root FROM held"):
            record = ContentRecord(root, 1, 1, (bytes(32),), (bytes(32),))
            opened.uploads.advance(Upload(root, 1, (bytes(32),)), record)
        opened.uploads.settle(1, 1)


class Account:
    """Two devices that write, one that only reads, and the log of all that was uploaded."""

    def __init__(self, devices: list[Store]) -> None:
        self.devices = devices
        self.log: list[tuple[int, list[Record]]] = []
        self.fetched = [0] * len(devices)
        self.seq = 0

    def upload(self, device: int, count: int, between: list[Record], *, refused: bool = False) -> bool:
        outbox = self.devices[device].outbox
        bring_contents(self.devices[device])
        batch = outbox.read(UploadClass.LIVE, limit=8)
        if batch is None:
            return False
        count = min(count, len(batch.records))
        taken, carried = list(batch.records[:count]), batch.carried(count)
        put(self.devices[device], between, UploadClass.LIVE)
        self.seq += 1
        outbox.add_pending(self.seq, b"header", b"summary", b"body", carried)
        if refused:
            outbox.refuse(self.seq, self.seq.to_bytes(32), b"refusal")
        else:
            outbox.settle([Receipt(self.seq, bytes(32), self.seq)])
            self.log.append((device, taken))
        return True

    def fetch(self, device: int) -> None:
        for author, found in self.log[self.fetched[device] :]:
            if author != device:
                put(self.devices[device], found)
        self.fetched[device] = len(self.log)

    def finish(self) -> None:
        while True:
            moved = [self.upload(device, 8, []) for device in (0, 1)]
            for device in range(len(self.devices)):
                self.fetch(device)
            if not any(moved):
                return


@given(steps)
def test_devices_converge(found: list[tuple[Any, ...]]) -> None:
    """REC-06"""
    with ExitStack() as stack:
        account = Account([stack.enter_context(store()) for _ in range(3)])
        for step in found:
            if step[0] == "put":
                put(account.devices[step[1]], step[2], UploadClass.LIVE)
            elif step[0] == "upload":
                account.upload(step[1], step[2], step[3], refused=step[4])
            else:
                account.fetch(step[1])
        account.finish()
        first, second, reader = account.devices
        assert seen(first) == seen(second)
        assert seen(first) == seen(reader)
