"""The copy route (spec §11.4): what was signed and acknowledged once, judged over ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sealkeep_conformance.relay._entry_limit import EntryLimit
from sealkeep_conformance.relay._items import BatchItem, Copied
from sealkeep_conformance.relay._ledger import Ledger, Stored
from sealkeep_conformance.relay._problems import ProblemError
from sealkeep_protocol import signed
from sealkeep_protocol.feeds import Feed
from sealkeep_protocol.roster import Signer, decode_entry
from sealkeep_protocol.segments import check_parts, verify_header
from sealkeep_protocol.types import AccountId, DeviceId


def copy_entries(
    account: AccountId,
    ledger: Ledger | None,
    items: Sequence[Copied],
    *,
    now: int,
    restored: int | None,
    limit: EntryLimit,
) -> Ledger:
    """The account with these entries behind its own; the same object where they stand there already. `restored` is when the
    relay was restored from a backup.

    Raises `PeerError` or `ProblemError` (`malformed`, `roster-conflict`, `fork`, `invalid`, `pinned`, `busy`, …).
    """
    if not items:
        raise ProblemError("malformed")
    first = decode_entry(signed.decode_payload(signed.split(items[0].entry)[0])).number
    here = [] if ledger is None else ledger.entries
    if first > len(here):
        raise ProblemError("roster-conflict")
    known = here[first : first + len(items)]
    if any(entry != item.entry for entry, item in zip(known, items, strict=False)):
        raise ProblemError("fork")
    fresh = items[len(known) :]
    # VIE-09: "A relay MUST take copied entries in one transaction or not at all, judge each by §5, and require that the
    # last one is new, comes with all its wraps and keeps ROS-12; where they make the account, or the relay's store was
    # restored, a pin in the entries before it may lie beyond the feed's head, …"
    # In a copy of the ledger: one entry that is refused leaves all as it was.
    after = None if ledger is None else ledger.copy()
    before = None if ledger is None else ledger.roster.number
    # §11.4: "where they make the account, or the relay's store was restored and has taken no entry of it since, a batch is
    # one entry when it comes, its last one"
    is_lost = ledger is None or (restored is not None and ledger.accepted[-1] < restored)
    for place, item in enumerate(fresh):
        is_last = place == len(fresh) - 1
        if after is None:
            after = Ledger.begin(item.entry, item.wraps, now, all_wraps=is_last)
            if after.account != account:
                raise ProblemError("invalid")
        else:
            if not is_lost:
                limit.check(after, item.entry, now)
            after.copy_entry(
                item.entry,
                item.wraps,
                now,
                is_last=is_last,
                may_lack=ledger is None or restored is not None,
                up_to=before,
            )
    if ledger is not None and is_lost and after is not None and fresh:
        limit.check_copied(ledger, after, now)
    return after if after is not None and fresh else _there(ledger)


def _there(ledger: Ledger | None) -> Ledger:
    if ledger is None:
        raise ProblemError("not-found")
    return ledger


def take_copy(ledger: Ledger, sender: int, device: int, item: BatchItem, *, now: int) -> Stored:
    """Take the next segment of any feed from an active device; what is stored already is given back.

    Raises `PeerError` or `ProblemError`, and last of all `MissingChunksError`.
    """
    # VIE-07: "A relay MUST take through the copy route only the next header of a feed, with summary and body, that
    # satisfies SEG-01 to SEG-05 and SEG-08 for the header's own roster head, and at a pin's seq only the pinned header;
    # whoever sends it, an active device of the account."
    ledger.signer_key(Signer.device(sender), now)
    author = ledger.roster.devices.get(device)
    if author is None:
        raise ProblemError("invalid")
    verified = verify_header(item.header, account=ledger.account, device=device, seq=None, key=author.keys.signing)
    said = verified.header
    known = ledger.at(device, said.seq)
    if known is not None:
        if known.header_id != verified.id:
            raise ProblemError("fork")
        return known
    if said.roster > ledger.roster.number:
        raise ProblemError("roster-conflict")
    head = ledger.feed_head(device)
    if said.seq != head.seq + 1 or said.previous != head.head:
        raise ProblemError("gap")
    head.check_link(said, ledger.roster)
    Feed(DeviceId(device)).check_pinned(verified, ledger.roster)
    # VIE-08: "A relay MUST remember, for each feed, the greatest roster number that it has named in a refusal within its
    # incarnation, durably before it signs the refusal, and MUST NOT take through the copy route a header of that feed
    # whose roster head is below it."
    if said.roster < ledger.refused_up_to.get(device, 0):
        raise ProblemError("invalid")
    if item.summary is None or item.body is None:
        raise ProblemError("invalid")
    check_parts(said, summary=item.summary, body=item.body)
    return ledger.store(verified, item.summary, item.body, item.chunks, missing_ok=item.missing_ok)


def forgotten(ledger: Ledger) -> Ledger:
    """The account as another store has it that was made from this one: its refusals were the old one's."""
    return replace(ledger.copy(), sent={}, refused=set(), refused_up_to={})
