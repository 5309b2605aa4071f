"""A model of one person's devices over a relay that is honest or lies, step by step (spec §1.2).

Up to four devices join by the kit or by pairing, write, import, sync, rotate, crash and are removed in any order. Whatever
the relay does meanwhile, a device only ever shows what some device wrote, loses nothing that it had, and fails with a named
error or not at all; after every run of honest steps all active devices show the same, and all of it; and a removed device
learns nothing that was written after it was removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sealkeep_client import RecoveryKit, Vault
from sealkeep_conformance.attacks import Harmless
from sealkeep_conformance.relay import HostileRelay, Ledger, Snapshot
from sealkeep_conformance.relay import faults as f
from sealkeep_protocol.errors import PeerError, RefusedError, TransportError
from support.household import pair, write
from support.vaults import UNLOCK, exported, opened, recovered

T = TypeVar("T")
NAMES: Final = ("phone", "laptop", "tablet", "desk", "attic", "shed")
ACTIVE: Final = 4  # devices at once

# What a relay may do and undo: a lie after which the devices can come together again. Each is made for a segment.
LIES: Final[dict[str, Callable[[int, int], f.Fault]]] = {
    "rollback": lambda device, seq: f.Withhold(device, seq - 1),
    "rollback-all": lambda device, seq: f.Rollback(position=seq),
    "fork": lambda device, seq: f.Fork(),
    "drop": lambda device, seq: f.Drop(device, seq),
    "replay": lambda device, seq: f.Replay(device, seq),
    "swap": lambda device, seq: f.Swap(device, seq, "body", 1, 1),
    "swap-headers": lambda device, seq: f.Swap(device, seq, "all", 1, 1),
    "relabel": lambda device, seq: f.Relabel(device, seq, as_device=1, as_seq=seq + 1),
    "strip": lambda device, seq: f.Strip(device, seq, "body"),
    "flip": lambda device, seq: f.Flip(device, seq, "header", 777),
    "flip-body": lambda device, seq: f.Flip(device, seq, "body", 7),
    "renumber": lambda device, seq: f.Renumber(after=seq, by=1),
    "renumber-far": lambda device, seq: f.Renumber(after=seq, by=1 << 50),
    "cursor": lambda device, seq: f.Cursor(by=-seq),
    "no-trailer": lambda device, seq: f.NoTrailer(),
    "truncate": lambda device, seq: f.Truncate(keep=-seq),
    "head": lambda device, seq: f.Head(device, seq),
    "false-head": lambda device, seq: f.Head(device, seq, made_up=True),
    "stale-roster": lambda device, seq: f.StaleRoster(device - 1),
    "wrap": lambda device, seq: f.WrongWrap("spoilt"),
    "old-wrap": lambda device, seq: f.WrongWrap("stale"),
    "receipt": lambda device, seq: f.WrongReceipt("spoilt"),
    "no-receipt": lambda device, seq: f.WrongReceipt("none"),
    "lost-answer": lambda device, seq: f.Lose(),
    "lost-request": lambda device, seq: f.Lose(before=True),
    "deny": lambda device, seq: f.Deny("revoked"),
    "busy": lambda device, seq: f.Deny("busy"),
    "gap": lambda device, seq: f.Deny("gap"),
    "problem-200": lambda device, seq: f.Instead("problem"),
}
_READ: Final = ("roster", "wraps", "heads", "changes", "feed")
_ROUTES: Final = {"rollback-all": _READ, "gap": ("append",), "lost-request": ("append",)}
NAMED: Final = (PeerError, TransportError, RefusedError)


@dataclass
class Member:
    """A device: its home, its open vault, and what it knew when it was removed (None: it is active)."""

    name: str
    number: int
    home: Path
    vault: Vault
    written: list[str] = field(default_factory=list)
    frozen: set[str] | None = None


class Household(RuleBasedStateMachine):
    relay: ClassVar[HostileRelay]

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="sealkeep-model-"))
        self.runner = asyncio.Runner()
        self.members: list[Member] = []
        self.kit: RecoveryKit | None = None
        self.words = (f"word {number}" for number in itertools.count())
        self.homes = (self.base / f"home {number}" for number in itertools.count())

    def teardown(self) -> None:
        if self.kit is not None:
            self.converge()
        for member in self.members:
            self.run(member.vault.close())
        self.runner.close()
        shutil.rmtree(self.base)

    def run(self, work: Awaitable[T]) -> T:
        async def working() -> T:
            return await work

        return self.runner.run(working())

    # What there is

    @property
    def active(self) -> list[Member]:
        return [member for member in self.members if member.frozen is None]

    @property
    def ledger(self) -> Ledger:
        assert self.kit is not None
        return self.relay.accounts[self.kit.account]

    @property
    def truth(self) -> set[str]:
        """All that was ever written."""
        return {text for member in self.members for text in member.written}

    def pick(self, index: int, members: list[Member]) -> Member:
        return members[index % len(members)]

    def texts(self, member: Member) -> list[str]:
        lines = self.run(exported(member.vault, self.base / "view.jsonl")).splitlines()
        return [line["text"] for line in map(json.loads, lines) if line["type"] == "record"]

    # Honest steps

    @initialize()
    def create(self) -> None:
        self.relay.restore(Snapshot())
        kits: list[RecoveryKit] = []
        home = next(self.homes)
        vault = self.run(
            Vault.create(home, relay=self.relay.door("phone"), unlock=UNLOCK, name="phone", on_kit=kits.append)
        )
        self.kit = kits[0]
        self.members.append(Member("phone", 1, home, vault))

    @precondition(lambda self: len(self.active) < ACTIVE and len(self.members) < len(NAMES))
    @rule()
    def recover(self) -> None:
        assert self.kit is not None
        name, home = NAMES[len(self.members)], next(self.homes)
        vault = self.run(recovered(home, self.kit, self.relay.door(name), name))
        self.members.append(Member(name, len(self.members) + 1, home, vault))

    @precondition(lambda self: len(self.active) < ACTIVE and len(self.members) < len(NAMES))
    @rule(index=st.integers(0, 3))
    def pair(self, index: int) -> None:
        member = self.pick(index, self.active)
        name, home = NAMES[len(self.members)], next(self.homes)
        at_new, at_old, words = self.run(pair(member.vault, home, self.relay.door(name), name))
        assert (at_new, at_old) == ((Harmless(), 0), (Harmless(), 0))
        assert len(words) == 2
        assert len(set(words)) == 1
        self.members.append(Member(name, len(self.members) + 1, home, self.run(opened(home))))

    @rule(index=st.integers(0, 3))
    def write(self, index: int) -> None:
        member = self.pick(index, self.active)
        text = next(self.words)
        self.run(write(member.vault, text))
        member.written.append(text)

    @rule(index=st.integers(0, 3), first=st.integers(1, 30), count=st.integers(1, 40))
    def import_export(self, index: int, first: int, count: int) -> None:
        """Exports overlap: what two devices import is one message."""
        member = self.pick(index, self.active)
        entries = [
            {
                "id": number,
                "type": "message",
                "date_unixtime": str(1_600_000_000 + number),
                "from": "Ann",
                "from_id": "user7",
                "text": f"message {number}",
            }
            for number in range(first, first + count)
        ]
        path = self.base / "result.json"
        path.write_text(json.dumps({"name": "Ann", "type": "personal_chat", "id": 7, "messages": entries}))
        self.run(member.vault.import_exports([path]))
        member.written += [text for entry in entries if (text := str(entry["text"])) not in member.written]

    @rule(index=st.integers(0, 3))
    def sync(self, index: int) -> None:
        self.run(self.pick(index, self.active).vault.sync())

    @rule(index=st.integers(0, 3))
    def restart(self, index: int) -> None:
        member = self.pick(index, self.active)
        self.run(member.vault.close())
        member.vault = self.run(opened(member.home))

    @rule(index=st.integers(0, 3), requests=st.integers(1, 5))
    def crash(self, index: int, requests: int) -> None:
        """The process dies in the middle of a sync: what is on its disk by then is what it begins with again."""
        member = self.pick(index, self.active)
        home = next(self.homes)
        self.run(self._crash(member.vault, member.home, home, requests))
        member.home = home
        member.vault = self.run(opened(home))

    async def _crash(self, vault: Vault, home: Path, copy: Path, requests: int) -> None:
        until = len(self.relay.log) + requests
        syncing = asyncio.ensure_future(vault.sync())
        while not syncing.done() and len(self.relay.log) < until:  # noqa: ASYNC110 (the relay is on another thread)
            await asyncio.sleep(0)
        syncing.cancel()
        # On the store's thread: between two of its transactions, as a process dies between two writes of its log.
        await vault._core.in_store(lambda: shutil.copytree(home, copy))
        await asyncio.gather(syncing, return_exceptions=True)
        await vault.close()

    @precondition(lambda self: len(self.active) > 1)
    @rule(index=st.integers(0, 3), remover=st.integers(0, 3))
    def remove(self, index: int, remover: int) -> None:
        """Another device removes one, after it has read what that one wrote: what else that one had is gone with it."""
        member = self.pick(index, self.active)
        by = self.pick(remover, [other for other in self.active if other is not member])
        kits: list[RecoveryKit] = []
        self.run(by.vault.sync())  # what it had not heard that the removed one has added would go along (ROS-20)
        done = self.run(by.vault.remove(member.number, on_kit=kits.append))
        assert [number for number, _ in done.removed] == [member.number]
        self.kit = kits[0] if kits else self.kit
        member.frozen = self.truth
        kept = set(self.texts(by))
        member.written = [text for text in member.written if text in kept]

    @rule(index=st.integers(0, 3))
    def rotate(self, index: int) -> None:
        self.run(self.pick(index, self.active).vault.rotate())

    @precondition(lambda self: any(member.frozen is not None for member in self.members))
    @rule(index=st.integers(0, 3), helped=st.booleans())
    def removed_device_syncs(self, index: int, helped: bool) -> None:
        """P6: it is told so; and also where the relay hides that from it, and hands it all that there is, it shows nothing
        that was written after its removal."""
        member = self.pick(index, [member for member in self.members if member.frozen is not None])
        assert member.frozen is not None
        if helped:
            removed_at = self.ledger.roster.devices[member.number].removed_at
            assert removed_at is not None
            with self.relay.fault(f.Rollback(entry=removed_at - 1), door=member.name), contextlib.suppress(*NAMED):
                self.run(member.vault.sync())
        else:
            with pytest.raises((RefusedError, PeerError)) as refused:
                self.run(member.vault.sync())
            # What it wrote to a relay that helped it lies beyond its pin by now.
            assert refused.value.code in ("revoked", "rollback")
        assert set(self.texts(member)) <= member.frozen

    @rule()
    def converge(self) -> None:
        """After honest steps: every active device shows all that every active device wrote, each message once."""
        for _ in range(2):
            for member in self.active:
                self.run(member.vault.sync())
        views = {self.run(exported(member.vault, self.base / "view.jsonl")) for member in self.active}
        assert len(views) == 1
        shown = self.texts(self.active[0])
        assert sorted(shown) == sorted(self.truth)
        assert self.run(self.active[-1].vault.verify()).unreadable == ()

    # Lies

    @precondition(lambda self: self.ledger.log)
    @rule(
        index=st.integers(0, 3),
        lies=st.lists(st.sampled_from(sorted(LIES)), min_size=1, max_size=2),
        place=st.integers(0, 1 << 16),
        syncs=st.integers(1, 2),
    )
    def lie(self, index: int, lies: list[str], place: int, syncs: int) -> None:
        """A device syncs while it is lied to: it keeps what it had, and gains what was written or says why not."""
        member = self.pick(index, self.active)
        for name in lies:
            stored = self.ledger.log[place % len(self.ledger.log)]
            lie = LIES[name](stored.device, stored.seq)
            self.relay.inject(lie, door=member.name, routes=_ROUTES.get(name))
        for _ in range(syncs):
            before = set(self.texts(member))
            with contextlib.suppress(*NAMED):
                self.run(member.vault.sync())
            after = self.texts(member)
            assert before <= set(after) <= self.truth
            assert len(after) == len(set(after))
        self.relay.lift()

    @invariant()
    def honest_again(self) -> None:
        """Every lie is over when its step is."""
        if self.kit is not None:
            self.relay.lift()


_LONG: Final = settings.get_current_profile_name() == "long"


def test_any_order_of_steps() -> None:
    with HostileRelay() as relay:
        Household.relay = relay
        run_state_machine_as_test(
            Household, settings=settings(max_examples=300 if _LONG else 8, stateful_step_count=60 if _LONG else 25)
        )
