"""Comparing views out of band (spec §11.1)."""

from __future__ import annotations

from sealkeep_client.engine import name_device
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._types import Checkpoint
from sealkeep_client.vault._words import code_words
from sealkeep_protocol.checkpoint import CODE_WORDS, Words, checkpoint_code, seen_heads
from sealkeep_protocol.errors import UsageError
from sealkeep_protocol.segments import Head
from sealkeep_protocol.types import DeviceId


async def checkpoint(core: Core, words: Words | None) -> Checkpoint:
    """What `Vault.checkpoint` promises."""
    return await core.in_store(lambda: _checkpoint(core, words))


def _checkpoint(core: Core, words: Words | None) -> Checkpoint:
    account = core.local.account
    if account.roster.epoch not in account.epochs:
        # Nobody's fault that could be proven: a removed device is given no newer key, and a sync may bring this one's.
        removed = not account.roster.devices[account.device].active
        raise UsageError(
            "this device was removed from the account: it can compare nothing any more"
            if removed
            else "this device does not hold the account's newest key: sync it first"
        )
    chosen = _draw(core) if words is None else (_find(words[0]), _find(words[1]))
    heads = [Head(DeviceId(feed.device), feed.seq, feed.head) for feed in account.feeds.values() if feed.seq]
    code = checkpoint_code(account.epoch(account.roster.epoch), account.roster, heads, chosen)
    return Checkpoint(
        words=chosen,
        code=code_words().encode(code, CODE_WORDS),
        entry=account.roster.number,
        feeds=tuple(
            (head.device, name_device(account.roster, account.epochs, head.device), head.seq)
            for head in seen_heads(account.roster, heads)
        ),
    )


def _draw(core: Core) -> Words:
    # VIE-02: "The device that begins MUST draw the two words anew, each uniformly from the list, when it shows the code."
    one, other = code_words().encode(core.sources.random(3), 2)
    return one, other


def _find(typed: str) -> str:
    return code_words().find(typed.strip().lower()[:32])
