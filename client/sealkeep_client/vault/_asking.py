"""The engine's questions to the relay, as calls of the line to it."""

from __future__ import annotations

from typing import Any, TypeVar

from sealkeep_client.answers import Page
from sealkeep_client.engine import (
    Append,
    AppendEntry,
    AppendItem,
    BodyRange,
    Claim,
    Copy,
    CopyRoster,
    ReadBodies,
    ReadChanges,
    ReadFeed,
    ReadHeads,
    ReadInfo,
    ReadRoster,
    ReadWraps,
    Steps,
)
from sealkeep_client.transport import SUMMARY_ITEMS, HttpRelay
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import SealkeepError
from sealkeep_protocol.types import AccountId

T = TypeVar("T")


async def ask(relay: HttpRelay, account: AccountId, action: object) -> Any:
    """Answer one action of the engine. Raises what the line and the relay raise."""
    match action:
        case ReadInfo():
            return await relay.info()
        case ReadRoster():
            return await relay.roster(account, action.first)
        case ReadWraps():
            return await relay.wraps()
        case ReadHeads():
            return await relay.heads()
        case ReadChanges():
            return await changes(relay, action)
        case ReadFeed():
            return await relay.feed(action.device, action.first, parts="bodies" if action.bodies else "headers")
        case ReadBodies():
            return await bodies(relay, action.wanted)
        case Append():
            return await relay.append([_item(item) for item in action.items])
        case AppendEntry():
            return await relay.append_roster(account, action.head, action.entry, action.wraps)
        case CopyRoster():
            return await relay.copy_roster(account, action.items)
        case Copy():
            return await relay.copy([[item.device, *_item(item.segment)] for item in action.items])
        case Claim():
            return await relay.claim(action.ids)
    raise TypeError(f"no question to a relay: {type(action).__name__}")


async def changes(relay: HttpRelay, action: ReadChanges) -> Page:
    """A page of changes, with all bodies or only the short ones."""
    if action.short is None:
        return await relay.changes(action.after, incarnation=action.incarnation)
    return await relay.changes(
        action.after, incarnation=action.incarnation, parts="summaries", short=action.short, limit=SUMMARY_ITEMS
    )


async def bodies(relay: HttpRelay, wanted: BodyRange) -> Page:
    """A page of segments with their bodies."""
    return await relay.feed(wanted.device, wanted.first, limit=wanted.count)


def _item(item: AppendItem) -> list[cbor.Item]:
    """A segment as it is appended or copied (spec §8.4)."""
    if item.summary is None or item.body is None:
        return [item.header]
    missing_ok = [True] if item.missing_ok else []
    return [item.header, item.summary, item.body, list(item.chunks), *missing_ok]


async def drive_without_store(relay: HttpRelay, account: AccountId, steps: Steps[T]) -> T:
    """Carry steps through that ask nothing but the relay, where there is no home yet."""
    answer: Any = None
    failure: SealkeepError | None = None
    while True:
        try:
            action = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            answer, failure = await ask(relay, account, action), None
        except SealkeepError as error:
            answer, failure = None, error
