"""What was verified of the account: roster, epochs, feeds, headers, named values."""

from __future__ import annotations

import pytest

from sealkeep_client.store import FeedHead, Head, Store
from sealkeep_protocol.errors import StoreError


def test_named_values(store: Store) -> None:
    assert store.sync.get("cursor") is None
    store.sync.put("cursor", b"1")
    store.sync.put("cursor", b"2")
    assert store.sync.get("cursor") == b"2"
    store.sync.put("cursor", None)
    assert store.sync.get("cursor") is None


def test_roster_only_grows(store: Store) -> None:
    store.sync.add_roster(0, [b"genesis", b"change"])
    store.sync.add_roster(2, [b"another"])
    assert store.sync.roster() == [b"genesis", b"change", b"another"]
    with pytest.raises(StoreError):
        store.sync.add_roster(1, [b"other"])
    assert store.sync.roster() == [b"genesis", b"change", b"another"]


def test_epochs(store: Store) -> None:
    store.sync.put_epochs({2: b"\x02" * 32, 1: b"\x01" * 32})
    store.sync.put_epochs({2: b"\x02" * 32})
    assert store.sync.epochs() == {1: b"\x01" * 32, 2: b"\x02" * 32}


def test_feeds(store: Store) -> None:
    one = FeedHead(1, 5, b"\x05" * 32, 2, 3, (Head(2, 7, b"\x07" * 32),))
    store.sync.put_feed(FeedHead(2, 0, b"", 0, 1))
    store.sync.put_feed(FeedHead(1, 4, b"\x04" * 32, 2, 3))
    store.sync.put_feed(one)
    assert store.sync.feeds() == {1: one, 2: FeedHead(2, 0, b"", 0, 1)}


def test_headers(store: Store) -> None:
    ids = [n.to_bytes(32) for n in range(1, 2501)]
    store.sync.add_headers(1, 1, ids[:2000])
    store.sync.add_headers(1, 2001, ids[2000:])
    store.sync.add_headers(2, 1, [b"\xff" * 32])
    assert store.sync.header_id(1, 2001) == ids[2000]
    assert store.sync.header_id(1, 2501) is None
    assert list(store.sync.header_ids(1, 1, 3000)) == list(enumerate(ids, 1))
    assert list(store.sync.header_ids(1, 10, 11)) == [(10, ids[9]), (11, ids[10])]
    with pytest.raises(StoreError):
        store.sync.add_headers(1, 2500, [b"\x00" * 32])


def test_a_page_is_kept_whole_or_not(store: Store) -> None:
    """SEG-20: "A reader MUST NOT change its state for a segment that fails any check." """

    def page() -> None:
        with store.transaction():
            store.sync.add_headers(1, 1, [b"\x01" * 32])
            store.sync.put_feed(FeedHead(1, 1, b"\x01" * 32, 0, 1))
            store.sync.put("cursor", b"9")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        page()
    assert (store.sync.header_id(1, 1), store.sync.feeds(), store.sync.get("cursor")) == (None, {}, None)
