"""What an operator, or a thief of the disk, finds at the relay: ciphertext in buckets, nothing of the chats (P1, P2)."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from sealkeep_client import Passphrase, RecoveryKit, Vault
from sealkeep_client.store import Strength
from sealkeep_protocol.hybrid_kem import WRAP_SIZE
from sealkeep_protocol.padding import is_bucket
from support.clients import Device, write_telegram
from support.relay import RelayProcess

WINDOW = 12  # bytes by which a string is recognised
DATABASE = "relay.db"


def test_the_search_finds_what_is_there() -> None:
    """The test's own tool, on something that it must find."""
    assert list(found(b"\x00\x01 a planted text \xff", windows(["a planted text"], WINDOW), WINDOW))
    assert not list(found(random.Random(1).randbytes(100_000), windows(["a planted text"], WINDOW), WINDOW))


async def test_nothing_of_the_chats_stands_at_the_relay(data_dir: Path, tmp_path: Path) -> None:
    """REL-12, P1: no text, name, title or file name of the export, in no file of the relay and not in its log."""
    source = data_dir / "telegram" / "result.json"
    with RelayProcess(tmp_path / "relay") as relay:
        kits: list[RecoveryKit] = []
        unlock = Passphrase("p", strength=Strength(1, 8 << 20))
        async with await Vault.create(
            tmp_path / "phone", relay=relay.url, unlock=unlock, name="Ann's telephone", on_kit=kits.append
        ) as vault:
            # What a relay writes before it has anything of this person: its schema, in plain words.
            empty = {path: path.read_bytes() for path in files(relay.data)}
            texts = {*strings(source), "Ann's telephone", "result.json"}
            known = windows(texts, WINDOW)
            for data in empty.values():
                known -= {data[at : at + WINDOW] for at in found(data, known, WINDOW)}
            assert len(known) > 50_000
            await vault.import_exports([source])
            await vault.sync()
            for path in files(relay.data):
                assert not list(found(path.read_bytes(), known, WINDOW))
            # The log is words, and words begin messages too.
            assert not list(found(relay.log.encode(), windows(texts, 24), 24))


def test_every_length_is_one_that_the_spec_gives(tmp_path: Path) -> None:
    """ENC-07, KEY-07: bodies are buckets, wraps have their ML-KEM part, summaries one of two lengths."""
    write_telegram(tmp_path / "result.json", 12_000)
    with RelayProcess(tmp_path / "relay") as relay:
        phone, laptop = Device(tmp_path / "phone"), Device(tmp_path / "laptop")
        phone.run("init", "--relay", relay.url, "--kit", str(tmp_path / "kit.txt"), "--name", "phone")
        phone.run("import", str(tmp_path / "result.json"))
        phone.run("sync")
        laptop.run("recover", "--relay", relay.url, "--kit", str(tmp_path / "kit.txt"), "--name", "laptop")
        relay.stop()
        with sqlite3.connect(relay.data / DATABASE) as database:
            bodies = [size for (size,) in database.execute("SELECT size FROM segment")]
            summaries = {size for (size,) in database.execute("SELECT length(summary) FROM segment")}
            wraps = [wrap for (wrap,) in database.execute("SELECT wrap FROM wrap")]
        assert len(bodies) >= 3
        assert all(is_bucket(size) for size in bodies)
        assert summaries <= {96, 2048}
        assert len(wraps) == 4  # the kit's two; the newest of either device
        assert {len(wrap) for wrap in wraps} == {WRAP_SIZE}


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def strings(source: Path) -> Iterator[str]:
    for chat in json.loads(source.read_text(encoding="utf-8"))["chats"]["list"]:
        yield chat["name"]
        for entry in chat["messages"]:
            yield entry.get("from") or entry.get("actor") or ""
            parts = entry["text"] if isinstance(entry["text"], list) else [entry["text"]]
            yield "".join(part if isinstance(part, str) else part["text"] for part in parts)


def windows(texts: Iterable[str], size: int) -> set[bytes]:
    """Of each text that is long enough a stretch of bytes, in UTF-8 and UTF-16."""
    return {
        encoded[:size]
        for text in texts
        for encoded in (text.encode(), text.encode("utf-16-le"))
        if len(encoded) >= size and len(set(encoded[:size])) > size // 2 - 1
    }


def found(data: bytes, known: set[bytes], size: int) -> Iterator[int]:
    return (at for at in range(len(data) - size + 1) if data[at : at + size] in known)


@pytest.mark.parametrize("table", ["entry", "wrap", "header", "summary", "body"])
def test_a_flipped_bit_is_refused(table: str, tmp_path: Path) -> None:
    """SEG-08, KEY-07: whatever is stored and changed there is refused, with what and where, and the device is as before."""
    write_telegram(tmp_path / "result.json", 800)
    with RelayProcess(tmp_path / "relay") as relay:
        phone, laptop = Device(tmp_path / "phone"), Device(tmp_path / "laptop")
        phone.run("init", "--relay", relay.url, "--kit", str(tmp_path / "kit.txt"), "--name", "phone")
        phone.run("import", str(tmp_path / "result.json"))
        phone.run("sync")
        laptop.run("recover", "--relay", relay.url, "--kit", str(tmp_path / "kit.txt"), "--name", "laptop")
        laptop.run("sync")
        before = laptop.export(tmp_path / "before.jsonl")
        relay.stop()
        flip(relay.data, table, random.Random(table))
        relay.start()
        if table == "wrap":  # only who needs the wrap meets it: a device that recovers
            late = Device(tmp_path / "late")
            said = late.run(
                *("recover", "--relay", relay.url, "--kit", str(tmp_path / "kit.txt"), "--name", "late"), status=3
            )
            assert "digest" in said
        elif table == "entry":  # the relay judges what it loads, and blames nobody but its own disk
            assert "fault of its own" in laptop.run("verify", status=1)
        else:
            said = laptop.run("verify", status=3)
            if table in ("summary", "body"):
                assert "device 1, seq 1" in said
                assert "digest" in said
        assert laptop.export(tmp_path / "after.jsonl") == before
        # Other accounts do not notice.
        other = Device(tmp_path / "other")
        other.run("init", "--relay", relay.url, "--kit", str(tmp_path / "other.txt"), "--name", "other")
        other.run("sync")


def flip(data: Path, what: str, dice: random.Random) -> None:
    """Change one bit of one thing that the relay stores."""
    table, column = ("segment", what) if what in ("header", "summary", "body") else (what, what)
    with sqlite3.connect(data / DATABASE) as database:
        rows = list(database.execute(f"SELECT rowid, {column} FROM {table}") if table != "wrap" else ())
        if table == "wrap":
            # The newest wrap of the recovery key.
            found_wrap = database.execute(
                "SELECT number, wrap FROM wrap WHERE recipient = 0 ORDER BY number DESC"
            ).fetchone()
            database.execute(
                "UPDATE wrap SET wrap = ? WHERE recipient = 0 AND number = ?",
                (flipped(found_wrap[1], dice), found_wrap[0]),
            )
            return
        row, value = rows[0]
        if value is not None:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (flipped(value, dice), row))
            return
    body = max(
        (path for path in files(data) if not path.name.startswith(DATABASE)), key=lambda path: path.stat().st_size
    )
    body.chmod(0o600)
    body.write_bytes(flipped(body.read_bytes(), dice))


def flipped(value: bytes, dice: random.Random) -> bytes:
    changed = bytearray(value)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)
