"""Comparing views out of band (spec §11.1)."""

from __future__ import annotations

from sealkeep_client.engine import name_device
from sealkeep_client.vault._core import Core
from sealkeep_client.vault._types import Checkpoint
from sealkeep_client.words import find_word, word_list
from sealkeep_protocol.checkpoint import LIST_SIZE, checkpoint_code, seen_heads
from sealkeep_protocol.segments import Head
from sealkeep_protocol.types import DeviceId


async def checkpoint(core: Core, words: tuple[str, str] | None) -> Checkpoint:
    """What `Vault.checkpoint` promises."""
    return await core.in_store(lambda: _checkpoint(core, words))


def _checkpoint(core: Core, words: tuple[str, str] | None) -> Checkpoint:
    account = core.local.account
    chosen = _draw(core) if words is None else (find_word(words[0]), find_word(words[1]))
    heads = [Head(DeviceId(f.device), f.seq, f.head) for f in account.feeds.values() if f.seq]
    numbers = checkpoint_code(account.epoch(account.roster.epoch), account.roster, heads, chosen)
    return Checkpoint(
        words=chosen,
        code=tuple(word_list()[number] for number in numbers),
        entry=account.roster.number,
        feeds=tuple(
            (head.device, name_device(account, head.device), head.seq) for head in seen_heads(account.roster, heads)
        ),
    )


def _draw(core: Core) -> tuple[str, str]:
    # VIE-02: "The device that begins MUST draw the two words anew, each uniformly from the list, when it shows the code."
    words = word_list()
    drawn = core.sources.random(4)
    return tuple(  # type: ignore[return-value]
        words[int.from_bytes(drawn[at : at + 2], "big") % LIST_SIZE]  # 65,536 is a multiple of 2,048
        for at in (0, 2)
    )
