"""Exports of stores: the same records give the same bytes, whatever the order and the batches in which they came."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealkeep_client.exporting import output, write_lines, write_page
from sealkeep_client.importers import open_exports
from sealkeep_client.store import INTERACTIVE, Passphrase, Store, UploadClass, ViewEntry
from sealkeep_protocol.records import Contact, Conversation, Mark, Message, RecordIds
from support import record_strategies as some
from support.exports_telegram import write_telegram
from support.exports_wechat import write_wechat
from support.exports_whatsapp import write_whatsapp

Entries = Callable[..., list[ViewEntry]]
Written = Callable[..., bytes]
Record = Contact | Conversation | Message | Mark
WRITERS = [write_lines, write_page]


@contextmanager
def new_store(ids: RecordIds) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "home", Passphrase("x", strength=INTERACTIVE))
        with store:
            store.publish()
            store.ids = ids
            yield store


def put(store: Store, records: Sequence[Record], upload: UploadClass | None) -> None:
    def of(kind: type) -> list[Any]:
        return [record for record in records if isinstance(record, kind)]

    store.put(of(Message), marks=of(Mark), contacts=of(Contact), conversations=of(Conversation), upload=upload)


def everything(folder: Path, ids: RecordIds) -> list[Record]:
    """The records of exports that have every key and type of their formats."""
    write_telegram(folder / "telegram")
    write_wechat(folder / "wechat")
    write_whatsapp(folder / "whatsapp")
    records: list[Record] = []
    for export in open_exports([str(folder / name) for name in ("telegram", "wechat", "whatsapp")]):
        for batch in export.batches():
            records += [*batch.contacts, *batch.conversations, *batch.messages]
            records += [mark.resolve(ids.source) for mark in batch.marks]
    return records


def test_two_devices_export_the_same_bytes(
    tmp_path: Path, ids: RecordIds, entries_of: Entries, written: Written
) -> None:
    records = everything(tmp_path, ids)
    expected = [written(write, entries_of(*records)) for write in WRITERS]
    assert len(expected[0].splitlines()) > 150
    for seed in range(2):
        shuffled = [*records, *random.Random(seed).sample(records, 40)]
        random.Random(seed).shuffle(shuffled)
        size = len(shuffled) // (1 + 4 * seed)
        with new_store(ids) as store:
            for start in range(0, len(shuffled), size):
                put(store, shuffled[start : start + size], UploadClass.HISTORY if seed else None)
            assert [written(write, store.views.everything()) for write in WRITERS] == expected


# Copies of few messages, and marks that point at them, so that they are joined in every way.
copies = st.builds(replace, some.sourced_messages, source=st.integers(1, 3), conversation=st.just(some.CHAT))
targets = st.sampled_from([RecordIds(bytes(range(32))).source(some.CHAT, number) for number in (1, 2)])
records_of_any_kind = st.one_of(copies, copies, some.marks_for(targets), some.contacts, some.conversations)


@settings(max_examples=15)
@given(
    st.lists(records_of_any_kind, max_size=12).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found)))
)
def test_the_order_of_arrival_shows_nowhere(
    ids: RecordIds, entries_of: Entries, written: Written, found: tuple[list[Record], list[Record]]
) -> None:
    one, other = found
    for write in WRITERS:
        assert written(write, entries_of(*one)) == written(write, entries_of(*other))
    with new_store(ids) as store:
        for record in other:
            put(store, [record], None)
        for write in WRITERS:
            assert written(write, store.views.everything()) == written(write, entries_of(*one))


@pytest.mark.parametrize("write", WRITERS)
def test_a_store_is_exported_to_a_file(tmp_path: Path, ids: RecordIds, write: Callable[..., int]) -> None:
    with new_store(ids) as store:
        put(store, [some.FULL], None)
        with output(tmp_path / "out") as file:
            assert write(store.views.everything(), file, ids=store.ids) == 1
    assert "早安".encode() in (tmp_path / "out").read_bytes()
