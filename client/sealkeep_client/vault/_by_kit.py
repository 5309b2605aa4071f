"""An account as the holder of a recovery kit meets it, without any of its devices (spec §5.4)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sealkeep_client.answers import Heads
from sealkeep_client.engine import Survey, decode, name_device, open_by_kit
from sealkeep_client.kit import RecoveryKit
from sealkeep_client.transport import Credentials, HttpRelay
from sealkeep_client.vault._asking import drive_without_store
from sealkeep_client.vault._device_types import Closing, KitReport
from sealkeep_client.vault._missing import find_missing
from sealkeep_protocol.errors import AuthenticationError, HistoryError, RefusedError, SealkeepError, TransportError
from sealkeep_protocol.keys import EpochKeys, PrivateKeys
from sealkeep_protocol.kit import KitError
from sealkeep_protocol.roster import RecoveryKey, Roster, Signer, compose_close

REBASES: Final = 256  # entries of others in a row: more than a relay takes of a thief
_DENIALS: Final = ("revoked", "closed", "signature", "not-found")
CLOSING_DAYS: Final = 30  # §5.4


@dataclass(frozen=True, slots=True)
class KitHolder:
    """A kit and the line to the relay at which its account is."""

    relay: HttpRelay
    kit: RecoveryKit
    keys: PrivateKeys
    incarnation: bytes  # the relay's

    @classmethod
    async def at(cls, relay: HttpRelay, kit: RecoveryKit) -> KitHolder:
        """Raises `AuthenticationError` (`identity`) where the relay is not the one that the kit names."""
        info = await relay.info()
        if info.identity != kit.identity:
            raise AuthenticationError("identity", "this is not the relay that the recovery kit names")
        return cls(relay, kit, PrivateKeys.of_recovery(kit.seed), info.incarnation)

    @contextlib.asynccontextmanager
    async def judging(self) -> AsyncIterator[None]:
        """Believe a relay that denies the account or the kit only as far as its roster bears that out."""
        try:
            yield
        except RefusedError as refused:
            # REL-13: "On `revoked`, `closed`, `signature` or `not-found` for its account a client MUST fetch the roster,
            # and believe the first only with its own removal in it, the second only with the `close` in it; a roster that
            # is another one than was verified is `fork`, all else is `rollback`, but `signature` stands where the roster
            # is the same."
            if refused.code in _DENIALS and not await self._bears_out(refused.code):
                raise HistoryError(
                    "rollback", "the relay denies this account or recovery kit, which its roster does not bear out"
                ) from refused
            raise

    async def _bears_out(self, code: str) -> bool:
        try:
            _, roster = await self.roster()
        except RefusedError as refused:
            # A kit that has seen nothing but the genesis may be of an account that no relay was ever told of.
            return (code, refused.code) == ("not-found", "not-found") and self.kit.roster[0] == 0
        if code == "closed":
            return roster.is_closed
        return code == "signature" or (code == "revoked" and not self.find(roster).has_right)

    async def roster(self) -> tuple[list[bytes], Roster]:
        """The account's entries, judged, and held against what the kit has seen. Raises peer errors."""
        entries, _ = await self.relay.roster(self.kit.account, 0)
        # KEY-09: "Recovery from a kit MUST refuse a roster of another account id than the kit's, and one that does not hold
        # the roster head that the kit names."
        roster = Roster.read(entries, account=self.kit.account)
        number, head = self.kit.roster
        if roster.number < number:
            raise HistoryError(
                "rollback", f"the kit has seen roster entry {number}; the relay shows {roster.number} only"
            )
        if roster.entry_ids[number] != head:
            raise HistoryError("fork", f"the relay shows another roster entry {number} than the kit has seen")
        return entries, roster

    def key(self, roster: Roster) -> RecoveryKey:
        """The kit's recovery key, which has its right. Raises `RefusedError` (`revoked`), and as `find` does."""
        key = self.find(roster)
        if not key.has_right:
            raise RefusedError("revoked", "this recovery kit was replaced by a newer one", status=403)
        return key

    def find(self, roster: Roster) -> RecoveryKey:
        """The kit's recovery key. Raises `KitError` where the account, as far as the relay shows it, does not know it."""
        for key in roster.recovery_keys:
            if key.keys.signing == self.keys.signing.public:
                return key
        # Not the relay's doing, as far as anybody can tell: what the kit has seen is there.
        raise KitError(
            "this recovery kit is not (yet) in force in this account: where its making was broken off, the same command on"
            " the same device goes on with it; `sealkeep devices --log` there, after a sync, tells of those that are"
        )

    def log_in(self, roster: Roster) -> RecoveryKey:
        """Have the line speak for the kit from now on. Raises as `key` does."""
        key = self.key(roster)
        signer = Signer.recovery(key.number)
        self.relay.use(Credentials(self.kit.account, signer, self.keys.signing, self.kit.identity))
        return key

    async def wraps(self) -> list[tuple[int, bytes]]:
        """All wraps for recovery keys, by the number of their entry."""
        return [(wrap.entry, wrap.wrap) for wrap in await self.relay.wraps()]


def check_heads(kit: RecoveryKit, roster: Roster, heads: Heads) -> None:
    """The relay shows at least the feeds that the kit has seen. Raises `HistoryError` (`rollback`, `fork`)."""
    # KEY-13: "Recovery from a kit, and trying it, MUST refuse a feed that ends before the kit's head of it or has another
    # header there, unless the head lies beyond a pin that says discard-after; then one that ends before that pin."
    shown = {head.device: head for head in heads.heads}
    for device, seq, header_id in kit.feeds:
        known = roster.devices.get(device)
        pin = None if known is None else known.removal
        if pin is not None and pin.discard_after and pin.seq < seq:
            wanted, wanted_id = pin.seq, pin.header_id
        else:
            wanted, wanted_id = seq, header_id
        head = shown.get(device)
        if wanted and (head is None or head.seq < wanted):
            raise HistoryError("rollback", "the recovery kit has seen more of its feed", device=device, seq=wanted)
        if head is not None and head.seq == wanted and head.header_id != wanted_id:
            raise HistoryError("fork", "the recovery kit has seen another header", device=device, seq=wanted)


async def verify_kit(relay: HttpRelay, kit: RecoveryKit) -> KitReport:
    """Prove what a kit opens, and change nothing. Raises peer errors where the relay changed or withholds something."""
    holder = await KitHolder.at(relay, kit)
    async with holder.judging():
        return await _verify(holder)


async def _verify(holder: KitHolder) -> KitReport:
    relay, kit = holder.relay, holder.kit
    entries, roster = await holder.roster()
    key = holder.find(roster)
    epochs: Mapping[int, EpochKeys] = {}
    spoilt: tuple[int, ...] = ()
    if key.has_right:
        holder.log_in(roster)
        check_heads(kit, roster, await relay.heads())
        opened = open_by_kit(roster, entries, await holder.wraps(), holder.keys)
        if opened.withheld:
            raise HistoryError("missing", f"the relay withholds this kit's key of roster entry {opened.withheld[0]}")
        epochs, spoilt = opened.epochs, opened.spoilt
    missing = tuple(n for n in range(1, roster.epoch + 1) if n not in epochs)
    lost: dict[int, int] = {}
    if missing and key.has_right:  # was anything written under them?
        survey = Survey(discard=False)
        await drive_without_store(relay, kit.account, survey.run(roster))
        lost = {number: survey.epochs[number] for number in missing if survey.epochs[number]}
    following = next((k for k in roster.recovery_keys if k.number > key.number), None)
    return KitReport(
        number=key.number,
        epochs=roster.epoch,
        missing=missing,
        lost=sum(lost.values()),
        spoilt_by=tuple(sorted({signer_name(roster.entry_signers[number], roster, epochs) for number in spoilt})),
        in_force=key.has_right,
        current=key.number == roster.current_recovery_key.number,
        replaced_by=None if following is None else signer_name(following.added_by, roster, epochs),
        replaced_at=None if following is None else decode(entries[following.added_at]).time,
        missing_keys=find_missing(roster, epochs, lost),
    )


def signer_name(signer: Signer, roster: Roster, epochs: Mapping[int, EpochKeys]) -> str:
    """Who signed, as a kit that opens these epochs knows him."""
    return f"recovery kit {signer.number}" if signer.is_recovery else name_device(roster, epochs, signer.number)


async def close_account(relay: HttpRelay, kit: RecoveryKit, *, now: Callable[[], int]) -> Closing:
    """Close the account. Does nothing where it was closed before. Raises `RefusedError` and peer errors."""
    holder = await KitHolder.at(relay, kit)
    async with holder.judging():
        return await _close(holder, now)


async def _close(holder: KitHolder, now: Callable[[], int]) -> Closing:
    relay, kit = holder.relay, holder.kit
    failure: SealkeepError | None = None
    sent = b""
    for _ in range(REBASES):
        entries, roster = await holder.roster()
        # ROS-13: "… looks for its own entry first, otherwise rebases on the new head, …"
        if roster.is_closed:
            before = entries[-1] != sent
            return Closing(_days(roster), before, decode(entries[-1]).time if before else None)
        sent = compose_close(roster, holder.key(roster).number, holder.keys.signing, time=now())
        try:
            await relay.append_roster(kit.account, roster.number, sent, [])
        except (RefusedError, TransportError) as error:
            if isinstance(error, RefusedError) and error.code != "roster-conflict":
                raise
            failure = error  # where the answer was lost, the entry may be there
            continue
        return Closing(_days(roster.append(sent)))
    raise failure or AssertionError


def _days(closed: Roster) -> int:
    return 0 if closed.close_is_final else CLOSING_DAYS
