"""Faults of statements: heads, roster entries, wraps, receipts, refusals, challenges, denials (spec §8.1 to §8.4)."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from sealkeep_conformance.relay._answers import (
    Answer,
    Appended,
    ChallengeAnswer,
    Created,
    Heads,
    Info,
    Problem,
    RosterPage,
    Wraps,
)
from sealkeep_conformance.relay._ledger import Wrap
from sealkeep_conformance.relay.faults._fault import Fault, Scene, fault, flipped
from sealkeep_protocol.primitives import SigningKey, sha256
from sealkeep_protocol.problems import PROBLEMS
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.statements import Challenge, Receipt, Refusal
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId, Seq

_STRANGER: Final = SigningKey(sha256(b"a key that is no relay's"))


@fault
class Head(Fault):
    """Names another head of a feed: an earlier one, one that nobody signed (`made_up`), or none (seq 0)."""

    device: int
    seq: int
    made_up: bool = False
    routes = ("heads",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        if not isinstance(answer, Heads):
            return answer
        heads = {device: (device, seq, header_id) for device, seq, header_id in answer.heads}
        heads.pop(self.device, None)
        if self.seq:
            identifier = sha256(b"a made-up id") if self.made_up else scene.stored(self.device, self.seq).header_id
            heads[self.device] = (self.device, self.seq, identifier)
        return replace(answer, heads=tuple(heads[device] for device in sorted(heads)))


@fault
class HeadsPosition(Fault):
    """Names another newest position among the heads."""

    position: int
    routes = ("heads",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return replace(answer, position=self.position) if isinstance(answer, Heads) else answer


@fault
class HeadsRoom(Fault):
    """Says of the account's room what is not so."""

    used: int = 1 << 60
    routes = ("heads",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return replace(answer, used=self.used, allowed=1) if isinstance(answer, Heads) else answer


@fault
class Restless(Fault):
    """Names a new incarnation every time it is asked for its heads, as if its store were always another one."""

    routes = ("heads",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return replace(answer, incarnation=secrets.token_bytes(16)) if isinstance(answer, Heads) else answer


@fault
class RosterHead(Fault):
    """Says that the roster's head is another entry than the last one shown."""

    number: int
    routes = ("roster",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return replace(answer, head=self.number) if isinstance(answer, RosterPage) else answer


@fault
class FlipEntry(Fault):
    """Flips one bit of every roster entry that it shows; negative bits count from the end."""

    bit: int = -1
    routes = ("roster",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        if not isinstance(answer, RosterPage):
            return answer
        return replace(answer, entries=tuple(flipped(entry, self.bit) for entry in answer.entries))


@fault
class DropEntry(Fault):
    """Leaves one roster entry out."""

    number: int
    routes = ("roster",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        ledger = scene.ledger
        if not isinstance(answer, RosterPage) or ledger is None:
            return answer
        return replace(answer, entries=tuple(e for e in answer.entries if e != ledger.entries[self.number]))


@fault
class WrongWrap(Fault):
    """Hands out wraps that are not the asker's newest: `spoilt`, `older` (an earlier entry's under the newest number),
    `stale` (an earlier entry's as it is), `another` (another recipient's), `none`."""

    how: str
    entry: int | None = None
    routes = ("wraps",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        ledger, signer = scene.ledger, scene.question.signer
        if not isinstance(answer, Wraps) or ledger is None or signer is None or not answer.wraps:
            return answer
        newest = answer.wraps[-1]
        mine = [wrap for wrap in ledger.wraps if wrap.recipient == newest.recipient]
        earlier = [wrap for wrap in mine if wrap.entry < newest.entry]
        chosen = next((wrap for wrap in mine if wrap.entry == self.entry), earlier[-1] if earlier else newest)
        others = [w for w in ledger.wraps if w.entry == newest.entry and w.recipient != newest.recipient]
        wrong: dict[str, tuple[Wrap, ...]] = {
            "spoilt": tuple(replace(wrap, wrap=flipped(wrap.wrap, 0)) for wrap in answer.wraps),
            "older": (*answer.wraps[:-1], replace(newest, wrap=chosen.wrap)),
            "stale": (*(wrap for wrap in answer.wraps[:-1] if wrap.entry < chosen.entry), chosen),
            "another": (*answer.wraps[:-1], replace(newest, wrap=others[0].wrap)),
            "none": (),
        }
        return Wraps(wrong[self.how])


@fault
class WrongReceipt(Fault):
    """Answers an append, or copies, with receipts that do not hold: `stranger` (another key's), `header` (for another
    header), `account` (for another account), `kind` (a signed refusal instead), `spoilt`, `none`, `surplus`."""

    how: str
    routes = ("append", "copy")

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        ledger = scene.ledger
        if not isinstance(answer, Appended) or ledger is None:
            return answer
        key, incarnation = scene.relay.key, scene.relay.incarnation
        made: list[bytes] = []
        for stored, receipt in zip(answer.taken, answer.receipts, strict=True):
            said = Receipt(stored.header_id, stored.position, incarnation)
            refusal = Refusal(
                stored.header_id, DeviceId(stored.device), Seq(stored.seq), 0, ledger.roster.entry_ids[0], incarnation
            )
            wrong = {
                "stranger": [said.sign(ledger.account, _STRANGER)],
                "header": [replace(said, header_id=ObjectId(sha256(said.header_id))).sign(ledger.account, key)],
                "account": [said.sign(AccountId(sha256(ledger.account)), key)],
                "kind": [refusal.sign(ledger.account, key)],
                "spoilt": [flipped(receipt, -1)],
                "none": [],
                "surplus": [receipt, receipt],
            }
            made += wrong[self.how]
        return replace(answer, receipts=tuple(made))


@fault
class ForgeRefusal(Fault):
    """Answers appends with `epoch-stale` and a refusal that does not hold: `stranger` (another key's), `header` (of another
    header), `own-roster` (a roster head that is not beyond the header's), `unknown-roster` (one that it does not show),
    `incarnation` (another store's), `account` (another account's), `none`."""

    how: str
    routes = ("append",)

    def carries_out(self, scene: Scene) -> bool:
        return False

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        ledger, signer = scene.ledger, scene.question.signer
        if ledger is None or signer is None:
            return answer
        stored = {s.header_id for s in ledger.log}
        waiting = [s for s in ledger.sent.values() if s.device == signer.number and s.header_id not in stored]
        sent = min(waiting, key=lambda s: s.seq)
        roster, key = ledger.roster, scene.relay.key
        good = Refusal(
            sent.header_id,
            DeviceId(sent.device),
            Seq(sent.seq),
            roster.number,
            roster.head,
            scene.relay.incarnation,
        )
        own = replace(good, roster_number=sent.roster, roster_head=roster.entry_ids[sent.roster])
        unknown = replace(good, roster_number=roster.number + 1, roster_head=ObjectId(sha256(roster.head)))
        made = {
            "stranger": good.sign(ledger.account, _STRANGER),
            "header": replace(good, header_id=ObjectId(sha256(sent.header_id))).sign(ledger.account, key),
            "own-roster": own.sign(ledger.account, key),
            "unknown-roster": unknown.sign(ledger.account, key),
            "incarnation": replace(good, incarnation=flipped(good.incarnation, 0)).sign(ledger.account, key),
            "account": good.sign(AccountId(sha256(ledger.account)), key),
            "none": None,
        }
        return Problem("epoch-stale", made[self.how])


@fault
class WrongChallenge(Fault):
    """Hands out a challenge that is signed by another key (`stranger`), for another signer (`signer`), or for another
    account (`account`)."""

    how: str
    routes = ("challenge",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        ledger = scene.ledger
        if not isinstance(answer, ChallengeAnswer) or ledger is None:
            return answer
        mine = Challenge(Signer.device(1), scene.relay.now() + 60_000, secrets.token_bytes(16))
        other = Challenge(Signer.device(60_000), scene.relay.now() + 60_000, secrets.token_bytes(16))
        made = {
            "stranger": mine.sign(ledger.account, _STRANGER),
            "signer": other.sign(ledger.account, scene.relay.key),
            "account": mine.sign(AccountId(sha256(ledger.account)), scene.relay.key),
        }
        return ChallengeAnswer(made[self.how])


@fault
class AnotherIdentity(Fault):
    """Says that it is another relay."""

    routes = ("info",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return replace(answer, identity=_STRANGER.public) if isinstance(answer, Info) else answer


@fault
class AnotherAccount(Fault):
    """Answers to a new account with another account's id."""

    routes = ("create",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return replace(answer, account=sha256(answer.account)) if isinstance(answer, Created) else answer


@fault
class Deny(Fault):
    """Refuses with a problem, carrying nothing out."""

    code: str

    def __post_init__(self) -> None:
        if self.code not in PROBLEMS:
            raise ValueError(f"{self.code!r} is not a problem code")

    def carries_out(self, scene: Scene) -> bool:
        return False

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return Problem(self.code)
