"""How many roster entries a device and what descends from it may append in a time (spec §5.5)."""

from __future__ import annotations

from dataclasses import dataclass

from sealkeep_conformance.relay._ledger import Ledger
from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol import signed
from sealkeep_protocol.roster import RecoveryKey, Roster, RosterDevice, Signer, decode_entry


@dataclass(frozen=True, slots=True)
class EntryLimit:
    """At most `entries` in `period` ms of a device and all that descends from it; `reserve` in any case of each signer that
    entered longer ago than that."""

    entries: int
    reserve: int
    period: int

    def check(self, ledger: Ledger, entry: bytes, now: int) -> None:
        """Raises `ProblemError` (`busy`) for an entry of a known signer that is one too many."""
        # §5.5: "A signer whose entry would be one too many for itself or for one that it descends from gets `busy` with
        # `Retry-After`"
        said = decode_entry(signed.decode_payload(signed.split(entry)[0]))
        self._check(ledger, said.signer, max(1, len(said.added)), now)

    def check_copied(self, ledger: Ledger, after: Ledger, now: int) -> None:
        """The same for copies that led to `after`: they are one entry, of their last signer; where that one has come with
        them, of whom it descends from that was there before."""
        signer = after.roster.entry_signers[-1]
        while (member := _member(after.roster, signer)).added_at > ledger.roster.number:
            signer = member.added_by
        self._check(ledger, signer, 1, now)

    def _check(self, ledger: Ledger, signer: Signer, weight: int, now: int) -> None:
        roster = ledger.roster
        if _member_or_none(roster, signer) is None:
            return  # who is not in the roster is refused for that
        line = _line(roster, signer)
        if not line:
            return
        counted = [
            (roster.entry_signers[number], taken, _weight(ledger.entries[number]))
            for number, taken in enumerate(ledger.accepted)
            if number and now - taken < self.period
        ]
        waits = [0]
        for ancestor in line:
            times = [taken for by, taken, w in counted if ancestor in _line(roster, by) for _ in range(w)]
            waits.append(self._wait(times, self.entries, weight, now))
        wait = max(waits)
        if wait and now - ledger.accepted[_member(roster, signer).added_at] >= self.period:
            wait = min(
                wait,
                self._wait([t for by, t, w in counted if by == signer for _ in range(w)], self.reserve, weight, now),
            )
        if wait:
            raise ProblemError("busy", {"Retry-After": str(-(-wait // 1000))})

    def _wait(self, times: list[int], most: int, weight: int, now: int) -> int:
        """In how many ms there is room for so much more beside what was taken at these times."""
        over = len(times) + min(weight, most) - most
        return 0 if over <= 0 else sorted(times)[over - 1] + self.period - now


def _weight(entry: bytes) -> int:
    """An entry that adds several devices counts as so many entries."""
    return max(1, len(decode_entry(signed.decode_payload(signed.split(entry)[0])).added))


def _line(roster: Roster, signer: Signer) -> list[Signer]:
    """A signer and those from whom it descends; nobody where no device is among them (§5.5)."""
    line = [signer]
    while (member := _member(roster, line[-1])).added_at > 0:
        line.append(member.added_by)
    while line and line[-1].is_recovery:
        line.pop()
    return line


def _member(roster: Roster, signer: Signer) -> RosterDevice | RecoveryKey:
    member = _member_or_none(roster, signer)
    assert member is not None
    return member


def _member_or_none(roster: Roster, signer: Signer) -> RosterDevice | RecoveryKey | None:
    if not signer.is_recovery:
        return roster.devices.get(signer.number)
    return roster.recovery_keys[signer.number] if signer.number < len(roster.recovery_keys) else None
