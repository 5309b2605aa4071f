"""Where the feeds of devices that were removed before are to end now: pins that are lowered (spec §5.3)."""

from __future__ import annotations

from collections.abc import Mapping

from sealkeep_client.answers import Heads
from sealkeep_client.engine._actions import ReadHeads, Steps
from sealkeep_client.engine._session import Session
from sealkeep_client.engine._survey import Survey
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.roster import Removal, Roster, Signer


def lowered_pins(session: Session, discard: Mapping[int, int | None], signer: Signer) -> Steps[list[Removal]]:
    """What an entry of this signer says to give up what devices that were removed before wrote: beyond a seq, or (None)
    beyond what can be verified at the relay. Devices of which there is nothing to give up are left out.

    Raises `UsageError` where only another signer may do that, or a seq was not read.
    """
    roster = session.account.roster
    surveyed = [device for device, seq in discard.items() if seq is None]
    ends = {device: seq for device, seq in discard.items() if seq is not None}
    ids: dict[tuple[int, int], bytes] = {}
    if surveyed:
        survey = Survey(discard=True)
        yield from survey.run(roster)
        heads: Heads = yield ReadHeads()
        shown = {int(head.device): int(head.seq) for head in heads.heads}
        for device in surveyed:
            followed, identifier = survey.head(device)
            # What was verified here before is worth as much, as far as the relay still shows it.
            ends[device] = max(int(followed), min(session.account.feed(device).seq, shown.get(device, 0)))
            ids[device, int(followed)] = identifier
    pins = []
    for device, end in sorted(ends.items()):
        pin = _pin(roster, device)
        # The pin that it has is worth an entry where something beyond was verified here, or a person names it.
        is_kept = pin.discard_after or (device in surveyed and session.account.feed(device).seq <= pin.seq)
        if end > pin.seq or (end == pin.seq and is_kept):
            continue
        found: bytes | None = pin.header_id
        if end < pin.seq:
            found = ids.get((device, end)) or session.lookup(device, end) if end else b""
        if found is None:
            raise UsageError(f"this device has not read the feed of device {device} up to seq {end}")
        pins.append(Removal(device, end, found, True))
    if pins and not roster.may_lower_pins(signer):
        raise UsageError(_who_may(pins[0], signer))
    return pins


def _pin(roster: Roster, device: int) -> Removal:
    removal = roster.devices[device].removal
    if removal is None:
        raise AssertionError
    return removal


def _who_may(pin: Removal, signer: Signer) -> str:
    # ROS-23: were it anybody else's to do, one stolen device could erase what all devices before it have written.
    which = "an older recovery kit than this one" if signer.is_recovery else "the recovery kit"
    return (
        f"device {pin.device} was removed before: what it wrote can be given up only with {which}, so that no stolen device"
        " can erase it; give that kit with --with"
    )
