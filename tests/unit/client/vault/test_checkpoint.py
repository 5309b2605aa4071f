"""`Vault.checkpoint`: two devices that were shown one history agree, from what each has itself."""

from __future__ import annotations

from typing import Any

import pytest

from sealkeep_client.vault import Text
from sealkeep_client.words import word_list
from sealkeep_protocol.errors import UsageError

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
    assert set(shown.words + shown.code) <= set(word_list())
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


async def test_words_are_drawn_over_the_whole_list(person: Person) -> None:
    """VIE-02"""
    phone = await person.create()
    phone._core.sources = type(phone._core.sources)(phone._core.sources.now, drawing([0, 2047, 2048, 65_535]))
    first, second = (await phone.checkpoint()).words, (await phone.checkpoint()).words
    words = word_list()
    assert (*first, *second) == (words[0], words[2047], words[0], words[2047])


def drawing(numbers: list[int]) -> Any:
    data = b"".join(number.to_bytes(2, "big") for number in numbers)

    def draw(size: int) -> bytes:
        nonlocal data
        drawn, data = data[:size], data[size:]
        return drawn

    return draw


async def test_what_is_no_word(person: Person) -> None:
    phone = await person.create()
    with pytest.raises(UsageError, match="`nonsense`"):
        await phone.checkpoint(("able", "nonsense"))
