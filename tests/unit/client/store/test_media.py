"""Contents on the disk: sealed, whole or not at all, and gone when nothing needs them."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealkeep_client.store import Passphrase, Store
from sealkeep_client.store._piece_files import DamagedPieceError, PieceFiles
from sealkeep_protocol.errors import StoreError
from sealkeep_protocol.files import Content, cut, piece_of

from .conftest import CHEAP

MIB = 1 << 20


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def once(data: bytes) -> Callable[[int], bytes]:
    """What gives these bytes, and is at its end."""
    parts = iter([data[:7], data[7:]])
    return lambda _: next(parts, b"")


def take_in(store: Store, data: bytes) -> Content:
    """Take a content in, from what gives its bytes in odd portions."""
    with store.transaction():
        return store.media.take_in(once(data))


def files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "home" / "media").rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, 239, 5_000, MIB, MIB + 1, 9 * MIB + 3])
def test_what_was_taken_in_is_there(store: Store, tmp_path: Path, unlock: Passphrase, size: int) -> None:
    data = noise(size)
    content = take_in(store, data)
    assert content == cut(data)[0]
    assert store.media.is_whole(content.root)
    assert store.media.missing(content) == []
    store.close()
    with Store.open(tmp_path / "home", unlock) as again:
        assert again.media.content(content.root) == content
        pieces = [again.media.piece(digest) for digest in content.hashes]
        assert b"".join(bytes(piece.data) for piece in pieces if piece)[:size] == data
        assert again.media.whole([content.root, bytes(32)]) == {content.root}


def test_equal_pieces_are_kept_once(store: Store, tmp_path: Path) -> None:
    take_in(store, noise(2 * MIB))
    before = len(files(tmp_path))
    take_in(store, noise(2 * MIB))
    take_in(store, noise(2 * MIB) + b"more")
    assert (before, len(files(tmp_path))) == (2, 3)


def test_nothing_tells_what_is_held(store: Store, tmp_path: Path) -> None:
    """Neither a file's name nor its bytes, nor the key, are in the clear; only its owner reads it."""
    data = b"diary" * 200
    content = take_in(store, data)
    [file] = files(tmp_path)
    assert content.hashes[0].hex()[:16] not in str(file)
    assert data[:20] not in file.read_bytes()
    assert file.stat().st_mode & 0o77 == 0
    assert file.parent.stat().st_mode & 0o77 == 0
    other = PieceFiles(tmp_path / "home" / "media", bytes(32))
    with pytest.raises(DamagedPieceError):
        other.read(content.hashes[0])
    assert "00" not in repr(other)


def test_a_rollback_leaves_nothing(store: Store, tmp_path: Path) -> None:
    def taking() -> None:
        with store.transaction():
            store.media.take_in(once(noise(3 * MIB)))
            raise KeyError

    with pytest.raises(KeyError):
        taking()
    assert files(tmp_path) == []
    assert store._database.value("SELECT count(*) FROM pieces") == 0
    assert store.media.is_whole(take_in(store, noise(3 * MIB)).root)


def test_files_without_a_row_are_swept(store: Store, tmp_path: Path, unlock: Passphrase) -> None:
    """As a crash leaves them, between the rename and the commit; and scratch files."""
    content = take_in(store, noise(MIB))
    stray = piece_of(b"stray" * 100)
    store.media._files.write(stray.hash, stray.data)
    store.media._files.sync()
    store.media._files.write(piece_of(b"scratch").hash, b"scratch")
    (tmp_path / "home" / "media" / "00").mkdir(exist_ok=True)
    (tmp_path / "home" / "media" / "00" / "junk").write_bytes(b"")
    store.close()
    with Store.open(tmp_path / "home", unlock) as again:
        assert len(files(tmp_path)) == 1
        assert again.media.missing(content) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "another"])
def test_damage_is_seen(store: Store, tmp_path: Path, damage: str) -> None:
    """FIL-02: not a byte of a piece that differs; what is left waits, and taking the file in again mends it."""
    data = noise(2 * MIB + 5)
    content = take_in(store, data)
    path = store.media._files._path(content.hashes[1])
    sealed = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        other = store.media._files._path(content.hashes[0]).read_bytes()
        path.write_bytes({"flip": bytes([sealed[0] ^ 1]) + sealed[1:], "cut": sealed[:-1], "another": other}[damage])
    assert store.media.piece(content.hashes[1]) is None
    with store.transaction():
        store.media.lost(content.hashes[1])
    assert not store.media.is_whole(content.root)
    assert store.media.missing(content) == [1]
    take_in(store, data)
    assert store.media.is_whole(content.root)
    assert store.media.missing(content) == []


def test_the_cache_is_bounded(store: Store, tmp_path: Path) -> None:
    """What came first goes first; what was taken in, or is being taken in, stays."""
    media = store.media
    media._cache = 3 * MIB
    content = take_in(store, noise(4 * MIB))
    pieces = [piece_of(noise(MIB, seed)) for seed in range(1, 7)]
    for piece in pieces[:5]:
        with store.transaction():
            media.put_fetched(piece)
    assert [media.has(piece.hash) for piece in pieces] == [False, False, True, True, True, False]
    assert media.missing(content) == []
    with media.taking_in() as taking:
        with store.transaction():
            taking.add(pieces[5].data)
            taking.add(noise(2 * MIB, 9))
            media.put_fetched(pieces[0])
        assert media.has(pieces[5].hash)
        with store.transaction():
            done = taking.finish()
    assert media.is_whole(done.root)
    assert len(files(tmp_path)) == store._database.value("SELECT count(*) FROM pieces")


def test_a_content_without_its_pieces_is_not_whole(store: Store) -> None:
    with pytest.raises(ValueError, match="all of its pieces"), store.transaction():
        store.media.make_whole(cut(noise(100))[0])


def test_a_full_disk(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear line, and nothing is half there."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="the disk is full"):
        take_in(store, noise(MIB))
    monkeypatch.undo()
    assert store._database.value("SELECT count(*) FROM pieces") == 0
    assert store.media.is_whole(take_in(store, noise(MIB)).root)


@given(parts=st.lists(st.integers(0, 3), max_size=6))
def test_uses_are_counted(tmp_path_factory: pytest.TempPathFactory, parts: list[int]) -> None:
    """However contents share their pieces, each piece says in how many it is."""
    home = tmp_path_factory.mktemp("uses") / "home"
    with Store.create(home, Passphrase("p", strength=CHEAP)) as store:
        store.publish()
        taken = {take_in(store, b"".join(noise(MIB, part) for part in parts[:end])) for end in range(len(parts) + 1)}
        for digest, uses in store._database.rows("SELECT hash, uses FROM pieces"):
            assert uses == sum(digest in content.hashes for content in taken)
