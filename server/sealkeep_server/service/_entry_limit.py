"""How many roster entries one signer may append in a time (spec §5.5): a flood must not outrun its own removal.

Counted is what the store has: the log of accepted entries, of which nothing is lost at a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sealkeep_protocol.roster import RecoveryKey, Roster, RosterDevice, Signer


@dataclass(frozen=True, slots=True)
class Logged:
    """Who signed an entry, when the relay took it (ms since 1970, its own clock), and how many devices it added."""

    signer: Signer
    accepted: int
    devices: int = 0

    @property
    def weight(self) -> int:
        """As how many entries it counts: device numbers run out, so that many in one entry count as many."""
        return max(1, self.devices)


@dataclass(frozen=True, slots=True)
class EntryLimit:
    """At most `entries` in `period` ms by a device together with all that descends from it, and by each signer that has
    been there for longer than that, `reserve` in any case."""

    entries: int
    reserve: int
    period: int

    def wait(self, roster: Roster, log: Sequence[Logged], coming: Logged) -> int:
        """How many ms an entry that comes has to wait; 0: it may come now. `log` has one item for each entry."""
        signer, now = coming.signer, coming.accepted
        line = lineage(roster, signer)
        by_head: dict[Signer, list[int]] = {head: [] for head in line}
        own: list[int] = []
        for logged in log[1:]:  # the genesis is no append
            # The clock may have been put back: an entry of the far future must not count until then.
            if abs(now - logged.accepted) >= self.period:
                continue
            for head in lineage(roster, logged.signer):
                if head in by_head:
                    by_head[head] += [logged.accepted] * logged.weight
            if logged.signer == signer:
                own += [logged.accepted] * logged.weight
        shared = max((self._room(times, self.entries, coming) for times in by_head.values()), default=0)
        entered = log[_member(roster, signer).added_at].accepted
        age = 0 if abs(now - entered) >= self.period else entered + self.period - now
        return min(shared, max(age, self._room(own, self.reserve, coming)))

    def _room(self, times: Sequence[int], limit: int, coming: Logged) -> int:
        """How many ms pass before what comes fits in with these; what is above the limit by itself needs all the room."""
        over = len(times) + min(coming.weight, limit) - limit
        return sorted(times)[over - 1] + self.period - coming.accepted if over > 0 else 0


def lineage(roster: Roster, signer: Signer) -> list[Signer]:
    """A signer, who brought it in, who brought that one in, and so on, as far as it counts.

    Empty for a recovery key that no device had a hand in: the genesis's, one that this one set, and so on. One that a
    device set counts as something that it added: a stolen device may have set it.
    """
    line = [signer]
    while (member := _member(roster, line[-1])).added_at > 0:
        line.append(member.added_by)
    while line and line[-1].is_recovery:
        line.pop()
    return line


def _member(roster: Roster, signer: Signer) -> RosterDevice | RecoveryKey:
    return roster.recovery_keys[signer.number] if signer.is_recovery else roster.devices[signer.number]
