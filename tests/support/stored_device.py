"""A device with a real store and the vault's own side of a sync, on a relay in memory: no sockets, no event loop.

world = MadeAccount(devices=2)
relay = MemoryRelay(world)
with stored_device(tmp_path / "1", 1, world, relay) as phone: …
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sealkeep_client.engine import (
    Become,
    Progress,
    PutChunks,
    SaveRoster,
    SaveSegment,
    Settle,
    Steps,
    Sync,
    SyncReport,
)
from sealkeep_client.store import Passphrase, Store, Strength, UploadClass
from sealkeep_client.vault._local import Local
from sealkeep_client.vault._membership import write_membership
from sealkeep_protocol.errors import PeerError, SealkeepError
from sealkeep_protocol.files import Content
from sealkeep_protocol.primitives import sha256
from sealkeep_protocol.records import Attachment, AttachmentState, Mark, MarkType, Message, NativeIdentity
from support.accounts import TIME, CountingRandom, MadeAccount
from support.memory_relay import CHAT, ENDLESS, MemoryRelay

T = TypeVar("T")


class StoredDevice:
    """One device; `store` and `local` are what a vault works with."""

    def __init__(self, store: Store, number: int, world: MadeAccount, relay: MemoryRelay) -> None:
        self.store, self.number, self.relay = store, number, relay
        self.random = CountingRandom(f"stored device {number}")
        self.local = Local(store, now=lambda: TIME)
        self._said = 0

    def write(self, text: str) -> bytes:
        """Write a message; returns its id."""
        self._said += 1
        native = NativeIdentity(self.number, TIME << 16 | self._said, self.random(16), 0)
        message = Message(CHAT, TIME + self._said, 1, native=native, text=text)
        self.store.put([message], upload=UploadClass.LIVE)
        return self.store.ids.message(message)

    def attach(self, message: bytes, data: bytes, name: str = "a.bin") -> Content:
        """Attach a file to a message."""
        chunks = iter([data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20)])
        with self.store.transaction():
            content = self.store.media.take_in(lambda _: next(chunks, b""))
            attachment = Attachment("file", name=name, size=len(data), state=AttachmentState.STORED, root=content.root)
            mark = Mark(MarkType.SUPPLEMENT, message, attachments=(attachment,))
            self.store.put(marks=[mark], upload=UploadClass.LIVE)
        return content

    def attachments(self, message: bytes) -> tuple[Attachment, ...]:
        entry = self.store.views.message(message)
        return (entry.view.message.attachments or ()) if entry is not None else ()

    def sync(self) -> SyncReport:
        local = self.local
        return self.run(
            Sync(
                local.account,
                self.store.ids,
                known=local.known,
                refused=local.refused,
                signed=local.signed,
                random=self.random,
                sent_to=local.get("sent-to"),
                time=TIME,
            ).run()
        )

    def run(self, steps: Steps[T]) -> T:
        """As the vault's driver does: what the store is asked to write up to a question to the relay is one transaction."""
        self.local.files.forget()
        answer: Any = None
        failure: SealkeepError | None = None
        for _ in range(ENDLESS):
            action, result = self._advance(steps, answer, failure)
            if action is None:
                return result  # type: ignore[no-any-return]
            answer = failure = None
            if isinstance(action, PutChunks):
                self.relay.sealed = dict(self.local.files.sealed)
            if not isinstance(action, Progress):
                try:
                    answer = self.relay.answer(self.number, action)
                except SealkeepError as error:
                    failure = error
        raise AssertionError("the engine asks without end")

    def _advance(self, steps: Steps[Any], answer: Any, failure: SealkeepError | None) -> tuple[Any, Any]:
        """Go on up to the next question (None: the end, and its result), in one transaction."""
        account = None
        result: Any = None
        action: Any
        with self.store.transaction():
            try:
                action = steps.throw(failure) if failure is not None else steps.send(answer)
                while self.local.handles(action):
                    if isinstance(action, (SaveRoster, SaveSegment, Settle, Become)):
                        account = action.account
                    try:
                        done = self.local.handle(action)
                    except PeerError as error:
                        action = steps.throw(error)
                    else:
                        action = steps.send(done)
            except StopIteration as stop:
                action, result = None, stop.value
        if account is not None:
            self.local.account = account
        return action, result


@contextmanager
def stored_device(home: Path, number: int, world: MadeAccount, relay: MemoryRelay) -> Iterator[StoredDevice]:
    """A device of a world's account, as it stands now."""
    name = f"{world.seed}/{number}".encode()
    with Store.create(home, Passphrase("correct horse", strength=Strength(1, 8192))) as store:
        with store.transaction():
            write_membership(
                store,
                device=number,
                seeds=(sha256(b"signing " + name), sha256(b"KEM " + name)),
                identity=relay.made.identity,
                relay="http://relay.example",
                entries=world.entries,
                epochs={epoch: keys.secret for epoch, keys in world.epochs.items()},
                incarnation=relay.incarnation,
            )
        store.publish()
        yield StoredDevice(store, number, world, relay)
