"""Filling bodies: nothing is lost, order stays, and history fills its bodies to the cap."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.engine import MAX_LIVE_RECORDS, Action, Offered, Packed, PackOutbox, pack
from sealkeep_client.engine._packing import Packer
from sealkeep_client.outgoing import Record
from sealkeep_protocol.padding import MAX_BODY, MAX_CONTENT, OVERHEAD, decompress, padme
from sealkeep_protocol.records import (
    MAX_RECORDS,
    Body,
    Contact,
    ContactKey,
    Conversation,
    ConversationKey,
    Mark,
    MarkType,
    Message,
    decode_body,
)
from sealkeep_protocol.segments import MAX_PACKED, SegmentClass
from support.accounts import TIME, MadeAccount
from support.memory_relay import CHAT, Device, MemoryRelay
from support.packing import outgoing, weight_of

WORDS = [f"{word}{n}" for n in range(400) for word in ("rain", "北京", "train", "明天", "tea", "书")]


def message(number: int, text: str) -> Message:
    return Message(CHAT, TIME + 1000 * number, 1, source=number, text=text, author=f"user{number % 7}")


def chat(count: int, seed: int = 0) -> list[Record]:
    """What people write: a few words each."""
    chosen = random.Random(seed)
    return [message(n, " ".join(chosen.choices(WORDS, k=chosen.randint(1, 12)))) for n in range(count)]


def noise(count: int, size: int, seed: int = 0) -> list[Record]:
    """Records that no compression makes smaller (hex: by half)."""
    chosen = random.Random(seed)
    return [message(n, chosen.randbytes(size).hex()) for n in range(count)]


def opened(packed: Packed) -> Body:
    content = decompress(packed.data) if packed.compressed else packed.data
    assert len(content) == packed.content_length <= MAX_CONTENT
    return decode_body(content, limit=MAX_CONTENT)


def pack_all(records: Sequence[Record], segment_class: SegmentClass, *, offered: int | None = None) -> list[Packed]:
    """Pack as the engine does: each body from what the one before left."""
    packer, bodies = Packer(), []
    while records:
        while True:
            weights = list(accumulate(map(weight_of, records[:MAX_RECORDS])))
            count = offered or max(1, bisect_right(weights, packer.weight))
            shown = outgoing(records[:count])
            packed = pack(shown, segment_class)
            if packer.learn(packed, len(shown), shown.weight, more=len(shown) < len(records)) or offered:
                break
        assert 0 < packed.count <= len(shown)
        assert len(packed.data) <= MAX_PACKED
        assert packed.full == (packed.count < len(shown))
        bodies.append(packed)
        records = records[packed.count :]
    return bodies


def fill(packed: Packed) -> float:
    return (len(packed.data) + OVERHEAD) / MAX_BODY


@pytest.mark.parametrize("seed", range(2))
def test_history_fills_its_bodies(seed: int) -> None:
    """§6.3: "filled to the cap"; only the last of a run is not."""
    bodies = pack_all(chat(56_000, seed), SegmentClass.HISTORY)
    assert len(bodies) > 3
    assert all(fill(packed) >= 0.88 for packed in bodies[:-1]), [fill(packed) for packed in bodies]
    assert sum(packed.count for packed in bodies) == 56_000


def test_a_density_that_changes_is_followed() -> None:
    """Long ones, then short ones, then long ones again: the body in which it changes is full too."""
    records = [*noise(200, 1500), *chat(30_000), *noise(300, 1500, 2), *chat(20_000, 2)]
    bodies = pack_all(records, SegmentClass.HISTORY)
    assert all(fill(packed) >= 0.88 for packed in bodies[:-1]), [fill(packed) for packed in bodies]


def test_what_compresses_to_nothing_ends_at_the_content_s_limit() -> None:
    """§2.3: 4 MiB decompressed at most; such a body cannot be filled."""
    records = [message(n, "a" * 3000) for n in range(5000)]
    bodies = pack_all(records, SegmentClass.HISTORY)
    assert all(packed.content_length >= 0.88 * MAX_CONTENT for packed in bodies[:-1])


def test_hundreds_of_large_records_that_do_not_compress() -> None:
    """A record is 64 KiB at most, half of it here after compression: seven or eight to a body."""
    records = noise(300, 30_000)
    bodies = pack_all(records, SegmentClass.HISTORY)
    assert [m.source for packed in bodies for m in opened(packed).messages] == list(range(300))
    assert all(fill(packed) + 30_000 / MAX_BODY > 0.94 for packed in bodies[:-1])


def test_large_records_are_not_loaded_by_the_thousand() -> None:
    """What a packer asks for follows what the bodies before held."""
    packer, records = Packer(), noise(40, 30_000)
    shown = outgoing(records)
    packer.learn(pack(shown, SegmentClass.HISTORY), len(shown), shown.weight, more=True)
    assert packer.weight < 10 * weight_of(records[0])


def test_live_bodies_are_small_and_plain() -> None:
    """SEG-10: never compressed, so that nobody who can send a message can probe its length."""
    bodies = pack_all(chat(200), SegmentClass.LIVE)
    assert [packed.count for packed in bodies] == [64, 64, 64, 8]
    assert not any(packed.compressed for packed in bodies)
    assert opened(bodies[0]).messages[0].source == 0


def test_large_live_records_are_split() -> None:
    records = noise(64, 31_000)
    bodies = pack_all(records, SegmentClass.LIVE)
    assert all(packed.count == 4 for packed in bodies[:-1])
    assert [m.source for packed in bodies for m in opened(packed).messages] == list(range(64))


def test_what_would_be_too_much_written_out_goes_into_more_bodies() -> None:
    """§7.1: 64 MiB a table, written out. One long name on every message compresses to nothing; no reader would take it."""
    name = "x" * 4_000
    records: list[Record] = [replace(message(n, ""), author_name=name) for n in range(40_000)]
    bodies = pack_all(records, SegmentClass.HISTORY)
    assert len(bodies) > 2
    assert sum(len(opened(packed).messages) for packed in bodies) == 40_000


def test_a_record_that_fits_no_body_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="longer than"):
        pack(outgoing([message(1, "x" * 70_000)]), SegmentClass.LIVE)
    with pytest.raises(ValueError, match="does not fit"):
        pack(outgoing([]), SegmentClass.LIVE)


def test_all_kinds_share_a_body() -> None:
    key = ConversationKey("telegram", "", "user:42")
    records: list[Record] = [
        Contact(ContactKey("telegram", "", "user7"), name="Bo", rank=TIME),
        Conversation(key, "Bo", rank=TIME),
        message(1, "hi"),
        Mark(MarkType.REVISION, bytes(16), text="hello"),
    ]
    (packed,) = pack_all(records, SegmentClass.FRONT)
    body = opened(packed)
    assert [*body.contacts, *body.conversations, *body.messages, *body.marks] == records


sizes = st.one_of(st.integers(0, 60), st.integers(0, 3_000), st.just(31_000))


@given(
    st.lists(st.tuples(st.integers(1, 200), sizes), min_size=1, max_size=5),
    st.sampled_from([SegmentClass.LIVE, SegmentClass.FRONT, SegmentClass.HISTORY]),
    st.one_of(st.none(), st.integers(1, 500)),
    st.integers(0, 5),
)
def test_whatever_the_records_none_is_lost(
    runs: list[tuple[int, int]], segment_class: SegmentClass, offered: int | None, seed: int
) -> None:
    """Packing all in turn keeps every record, in order, however many are offered at a time."""
    chosen = random.Random(seed)
    texts = [
        chosen.randbytes(size).hex() for count, size in runs for _ in range(min(count, 12 if size > 3000 else count))
    ]
    records = [message(n, text) for n, text in enumerate(texts)]
    bodies = pack_all(records, segment_class, offered=offered)
    assert [m for packed in bodies for m in opened(packed).messages] == records
    if segment_class is SegmentClass.LIVE:
        assert all(packed.count <= MAX_LIVE_RECORDS for packed in bodies)


# Through a whole sync


def lengths(relay: MemoryRelay) -> list[int]:
    return [len(stored.segment.body) for stored in relay.log]


def test_body_lengths_say_nothing_of_history() -> None:
    """§6.3: exactly the cap but for the last of a run; P2."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    phone.queue(chat(36_000))
    report = phone.sync()
    assert report.records_written == 36_000
    assert len(relay.log) > 2
    assert set(lengths(relay)[:-1]) == {MAX_BODY}
    assert lengths(relay)[-1] < MAX_BODY
    assert all(len(stored.segment.summary) == 2048 for stored in relay.log)
    tablet.sync()
    assert tablet.kept.read == phone.kept.written


@pytest.mark.parametrize("seed", range(6))
def test_what_bodies_of_changing_density_leave_makes_one_short_body(seed: int) -> None:
    """§6.3: several bodies are offered at once, and each may leave records behind; only the last of the run is shorter."""
    chosen = random.Random(seed)
    made = MadeAccount()
    relay = MemoryRelay(made)
    phone = Device(1, made, relay)
    records: list[Record] = []
    for _ in range(12):
        entropy = chosen.randrange(600)
        for _ in range(chosen.randrange(250, 700)):
            text = chosen.randbytes(entropy).hex() + " word" * (200 - entropy // 3)
            records.append(message(len(records), text))
    phone.queue(records)
    phone.sync()
    assert len(phone.kept.written) == len(records)
    assert set(lengths(relay)[:-1]) == {MAX_BODY}


def test_the_first_guess_may_be_far_too_low() -> None:
    """Records that compress very well: more of them are asked for, until the body is full or none is left."""
    made = MadeAccount()
    relay = MemoryRelay(made)
    phone = Device(1, made, relay)
    phone.queue([message(n, "ok") for n in range(60_000)])
    asked: list[int] = []
    offer = phone._pack_outbox

    def watched(action: PackOutbox) -> list[Offered]:
        asked.append(action.weight)
        return offer(action)

    phone._pack_outbox = watched  # type: ignore[method-assign]
    phone.sync()
    assert len(asked) > 2
    assert sorted(asked[:2]) == asked[:2]
    assert set(lengths(relay)[:-1]) <= {MAX_BODY}


def test_megabytes_of_content_are_under_way_one_at_a_time() -> None:
    """Large records that compress very well fill bodies by their contents: no side may hold several of them at once."""
    made = MadeAccount(devices=2)
    relay = MemoryRelay(made)
    phone, tablet = Device(1, made, relay), Device(2, made, relay)
    phone.queue([message(n, f"{n} " + "word " * 10_000) for n in range(330)])
    at_once: dict[str, list[int]] = {"packed": [], "decoded": []}
    offer, store = phone._pack_outbox, tablet._store

    def offered(action: PackOutbox) -> list[Offered]:
        offers = offer(action)
        at_once["packed"].append(sum(one.weight for one in offers))
        return offers

    def stored(action: Action) -> Any:
        answer = store(action)
        at_once["decoded"].append(sum(map(len, tablet._decoding)))
        return answer

    phone._pack_outbox, tablet._store = offered, stored  # type: ignore[method-assign]
    phone.sync()
    tablet.sync()
    assert tablet.kept.read == phone.kept.written
    assert len(relay.log) > 3
    assert max(at_once["packed"]) <= MAX_CONTENT
    assert MAX_CONTENT // 2 < max(at_once["decoded"]) <= 2 * MAX_CONTENT


def test_front_bodies_are_packed_closely_and_padded_to_their_bucket() -> None:
    """§6.3: a new device waits for them."""
    made = MadeAccount()
    relay = MemoryRelay(made)
    phone = Device(1, made, relay)
    phone.queue(chat(3_000), SegmentClass.FRONT)
    phone.sync()
    phone.queue(chat(3_000), SegmentClass.HISTORY)
    phone.sync()
    front, history = lengths(relay)
    assert front == padme(front) < history
