"""`Vault.checkpoint`: two devices that were shown one history agree, from what each has itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealkeep_client.vault import Text
from sealkeep_client.vault._words import code_words
from sealkeep_protocol.errors import RefusedError, UsageError

Person = Any  # of this folder's conftest


async def test_two_devices_agree(person: Person) -> None:
    """VIE-01, VIE-02: with fresh words each time; without the relay; until one has seen more."""
    phone = await person.create()
    laptop = await person.recover()
    chat = await phone.conversation("telegram:user:1")
    await phone.append(chat, Text("one"))
    for vault in (phone, laptop, phone):
        await vault.sync()
    shown = await phone.checkpoint()
    assert shown.words != (await phone.checkpoint()).words
    assert (len(shown.words), len(shown.code)) == (2, 4)
    assert all(code_words().find(word) == word for word in shown.words + shown.code)
    assert (await laptop.checkpoint(shown.words)) == shown
    assert shown.entry == 1
    assert [(device, name) for device, name, _ in shown.feeds] == [(1, "phone")]
    await phone.append(chat, Text("two"))
    assert (await phone.checkpoint(shown.words)) == shown  # what waits was shown to nobody
    await phone.sync()
    moved = await phone.checkpoint(shown.words)
    assert moved.code != shown.code
    assert moved.feeds[0][2] == shown.feeds[0][2] + 1
    await laptop.sync()
    assert (await laptop.checkpoint(shown.words)) == moved


async def test_who_was_removed_compares_nothing_and_accuses_nobody(person: Person) -> None:
    """VIE-01: it has no key of the newest epoch, and that is nobody's fault."""
    phone = await person.create()
    laptop = await person.recover()
    await phone.sync()
    await phone.remove(2)
    with pytest.raises(RefusedError, match="removed"):
        await laptop.sync()
    with pytest.raises(UsageError, match="was removed from the account: it can compare nothing"):
        await laptop.checkpoint()


async def test_words_are_drawn_over_the_whole_list(person: Person) -> None:
    """VIE-02"""
    phone = await person.create()
    drawn = {0: ("abandon", "abandon"), 1: ("abandon", "ability"), (1 << 22) - 1: ("zoo", "zoo")}
    for number, words in drawn.items():
        sources = phone._core.sources
        phone._core.sources = replace(sources, random=lambda size, n=number: (n << 8 * size - 22).to_bytes(size, "big"))
        assert (await phone.checkpoint()).words == words


async def test_what_is_no_word(person: Person) -> None:
    phone = await person.create()
    with pytest.raises(UsageError, match="`nonsense`"):
        await phone.checkpoint(("able", "nonsense"))


async def test_as_a_person_types_them(person: Person) -> None:
    """Capitals do not matter, and four letters are enough."""
    phone = await person.create()
    shown = await phone.checkpoint(("abandon", "zoo"))
    assert await phone.checkpoint((" ABAN", "Zoo ")) == shown
