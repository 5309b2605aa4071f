"""Faults of history: the relay shows a device another past than the one that was."""

from __future__ import annotations

from dataclasses import field, replace

from sealkeep_conformance.relay._honest import Honest
from sealkeep_conformance.relay._ledger import Ledger
from sealkeep_conformance.relay.faults._fault import READS, Fault, Scene, fault
from sealkeep_protocol.types import AccountId


@fault
class Rollback(Fault):
    """Shows the account as it was at a position, and a roster entry; what is written meanwhile is forgotten at the end."""

    position: int | None = None
    entry: int | None = None
    _past: dict[AccountId, Ledger] = field(default_factory=dict, init=False, repr=False)

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        if ledger.account not in self._past:
            self._past[ledger.account] = ledger.until(position=self.position, entry=self.entry)
        return self._past[ledger.account]


@fault
class Fork(Fault):
    """Splits the account at a position, and a roster entry: those it is shown to go on in a history of their own.

    At the end the segments of both are brought together, as far as they fit.
    """

    position: int | None = None
    entry: int | None = None
    _branches: dict[AccountId, Ledger] = field(default_factory=dict, init=False, repr=False)

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        if ledger.account not in self._branches:
            self._branches[ledger.account] = ledger.until(position=self.position, entry=self.entry)
        return self._branches[ledger.account]

    def lifted(self, relay: Honest) -> None:
        for account, branch in self._branches.items():
            trunk = relay.accounts[account]
            for stored in branch.log:
                author = trunk.roster.devices.get(stored.device)
                known = slice(stored.roster + 1)  # the roster as its author knew it
                is_next = stored.seq == len(trunk.feed_of(stored.device)) + 1
                if is_next and author is not None and author.active and trunk.entries[known] == branch.entries[known]:
                    trunk.position += 1
                    trunk.log.append(replace(stored, position=trunk.position))


@fault
class Withhold(Fault):
    """Leaves out all that a device wrote after a seq, and names no newer head of its feed."""

    device: int
    after: int
    routes = READS

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        shown = ledger.copy()
        shown.log = [stored for stored in ledger.log if stored.device != self.device or stored.seq <= self.after]
        return shown


@fault
class StaleRoster(Fault):
    """Shows the roster, and the wraps, only up to an entry; the segments as they are."""

    entry: int
    routes = ("roster", "wraps")

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        return ledger.until(entry=self.entry)


@fault
class AnotherRoster(Fault):
    """Shows another account's roster, its genesis included."""

    account: bytes
    routes = ("roster",)

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        return scene.relay.accounts[AccountId(self.account)]


@fault
class ServeRefused(Fault):
    """Serves what a device had sent, and the relay had refused by its signature, in its place as if it had been taken."""

    device: int
    seq: int
    routes = READS

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        refused = next(
            sent
            for identifier, sent in ledger.sent.items()
            if identifier in ledger.refused and (sent.device, sent.seq) == (self.device, self.seq)
        )
        shown = ledger.copy()
        before = [stored for stored in ledger.log if stored.device != self.device or stored.seq < self.seq]
        there = ledger.at(self.device, self.seq)
        position = ledger.position + 1 if there is None else there.position
        shown.log = sorted([*before, replace(refused, position=position)], key=lambda stored: stored.position)
        shown.position = max(ledger.position, position)
        return shown


@fault
class Renumber(Fault):
    """Gives all positions of an account after one another value, and goes on counting from there."""

    after: int
    by: int
    routes = READS

    def view(self, scene: Scene, ledger: Ledger) -> Ledger:
        shown = ledger.copy()
        shown.log = [
            replace(stored, position=stored.position + self.by) if stored.position > self.after else stored
            for stored in ledger.log
        ]
        shown.position = ledger.position + self.by
        return shown
