"""One flipped bit in anything that the relay stores: refused, with the right error, at the right place, and nothing else.

Bits are flipped on the disk of a running relay, drawn anew in each test from a seed that its failure names.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sealkeep_client import RecoveryKit, Text
from sealkeep_protocol.errors import AuthenticationError, MalformedError, PeerError, RefusedError
from support.clients import Device
from support.large_exports import write_noise
from support.relay import RelayProcess
from support.vaults import created, exported, opened, recovered

BITS = 6  # a kind, in a quick run
MANY = 60


@dataclass(frozen=True)
class Stored:
    """Something of one account on the relay's disk: a blob in a row, or a file."""

    kind: str
    data: Path
    account: bytes
    statement: str = ""  # table, column and which row of the account's
    key: tuple[int, ...] = ()
    file: Path | None = None
    device: int | None = None
    seq: int | None = None

    def read(self) -> bytes:
        if self.file is not None:
            return self.file.read_bytes()
        table, column, where = self.statement.split("|")
        with closing(_connect(self.data)) as database:
            [value] = database.execute(
                f"SELECT {column} FROM {table} WHERE account = ? AND {where}", (self.account, *self.key)
            ).fetchone()
        return bytes(value)

    def write(self, value: bytes) -> None:
        if self.file is not None:
            self.file.write_bytes(value)
            return
        table, column, where = self.statement.split("|")
        with closing(_connect(self.data)) as database, database:
            changed = database.execute(
                f"UPDATE {table} SET {column} = ? WHERE account = ? AND {where}", (value, self.account, *self.key)
            )
            assert changed.rowcount == 1

    @contextmanager
    def flipped(self, bit: int) -> Iterator[None]:
        before = self.read()
        changed = bytearray(before)
        changed[bit // 8] ^= 1 << bit % 8
        self.write(bytes(changed))
        try:
            yield
        finally:
            self.write(before)

    def bits(self, seed: str, count: int) -> list[int]:
        """Some bits of it: the first, the last, and others that the seed draws."""
        size = 8 * len(self.read())
        return [0, size - 1, *(random.Random(seed).randrange(size) for _ in range(count - 2))]


def _connect(data: Path) -> sqlite3.Connection:
    database = sqlite3.connect(data / "relay.db", timeout=30)
    database.execute("PRAGMA busy_timeout = 30000")
    return database


@dataclass
class Scene:
    """A phone that wrote after its laptop last looked; a test takes as many copies of the laptop as it needs."""

    base: Path
    relay: RelayProcess
    kit: RecoveryKit
    laptop: Path
    seen: int  # segments that the laptop has read
    before: bytes  # what the laptop exports
    after: bytes  # what the phone does

    def copy(self) -> Path:
        home = self.base / f"copy{os.urandom(4).hex()}"
        shutil.copytree(self.laptop, home)
        return home

    def stored(self, kind: str) -> list[Stored]:
        """All objects of a kind that the laptop has not seen yet."""
        if kind == "entry":
            entries = self.rows("SELECT number FROM entry WHERE account = ? ORDER BY number")
            return [self.one(kind, "entry|entry|number = ?", number) for (number,) in entries]
        found = []
        for device, seq, number in self.rows("SELECT device, seq, object FROM segment WHERE account = ? ORDER BY seq"):
            if seq <= self.seen:
                continue
            stored = self.one(kind, f"segment|{kind}|device = ? AND seq = ?", device, seq)
            if kind == "body" and number is not None:
                file = self.relay.data / "bodies" / f"{number >> 20:08x}" / f"{number & 0xFFFFF:03x}"
                stored = replace(stored, file=file)
            found.append(replace(stored, device=device, seq=seq))
        return found

    def one(self, kind: str, statement: str, *key: int) -> Stored:
        return Stored(kind, self.relay.data, self.kit.account, statement, key)

    def rows(self, query: str) -> list[tuple[int, ...]]:
        with closing(_connect(self.relay.data)) as database:
            return list(database.execute(query, (self.kit.account,)))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    base = tmp_path_factory.mktemp("flips")
    with RelayProcess(base / "relay") as relay:
        yield asyncio.run(prepare(base, relay))


async def prepare(base: Path, relay: RelayProcess) -> Scene:
    write_noise(base / "early.json", 200)
    write_noise(base / "late.json", 1_500, seed=2)
    async with created(base / "phone", relay.url) as (phone, kit):
        await phone.import_exports([base / "early.json"])
        await phone.sync()
        async with await recovered(base / "laptop", kit) as laptop:
            seen = (await laptop.sync()).segments_received
            before = await exported(laptop, base / "before.jsonl")
        await phone.append((await phone.conversations())[0], Text("the newest words"))
        await phone.import_exports([base / "late.json"])
        assert (await phone.sync()).segments_sent > 3
        after = await exported(phone, base / "after.jsonl")
    return Scene(base, relay, kit, base / "laptop", seen, before, after)


def counted(pytestconfig: pytest.Config) -> int:
    return MANY if pytestconfig.getoption("--long") else BITS


@pytest.mark.parametrize("kind", ["header", "summary", "body"])
async def test_a_segment(scene: Scene, kind: str, pytestconfig: pytest.Config) -> None:
    """SEG-08, SEG-20, REL-16: named by device and seq; what it had is as it was; when the bit is back, all comes."""
    objects = scene.stored(kind)
    assert len(objects) > 3
    if kind == "body":  # rows and files
        assert {stored.file is None for stored in objects} == {True, False}
    home = scene.copy()
    dice = random.Random(kind)
    for stored in [objects[0], *dice.sample(objects[1:], 2), objects[-1]]:
        for bit in stored.bits(f"{kind} {stored.seq}", counted(pytestconfig)):
            with stored.flipped(bit):
                async with await opened(home) as laptop:
                    status = await laptop.status()
                    with pytest.raises(PeerError) as caught:
                        await laptop.sync()
                    assert (caught.value.device, caught.value.seq) == (stored.device, stored.seq), bit
                    if kind == "header":
                        assert isinstance(caught.value, AuthenticationError | MalformedError), bit
                        assert caught.value.code in ("signature", "malformed"), bit
                    else:  # REL-16: a body that rotted is not there, to an honest relay
                        assert caught.value.code == ("digest" if kind == "summary" else "missing"), bit
                    assert f"device {stored.device}, seq {stored.seq}: " in str(caught.value)
                    if stored is objects[0]:  # before it there is nothing new
                        assert await exported(laptop, scene.base / "still.jsonl") == scene.before
                        assert await laptop.status() == status
                    # What was read before it stays, and is part of the whole.
                    assert (await laptop.status()).messages <= scene.after.count(b'{"type":"record"')
    async with await opened(home) as laptop:
        assert (await laptop.sync()).unreadable == ()
        assert await exported(laptop, scene.base / "whole.jsonl") == scene.after


@pytest.mark.parametrize("kind", ["header", "summary", "body"])
async def test_a_segment_that_was_read_before(scene: Scene, kind: str) -> None:
    """Who has it already needs it no more, and `verify` finds out."""
    home = scene.copy()
    async with await opened(home) as laptop:
        await laptop.sync()
        for stored in scene.stored(kind)[:2]:
            for bit in stored.bits(f"verify {kind} {stored.seq}", 3):
                with stored.flipped(bit):
                    assert (await laptop.sync()).received == 0
                    with pytest.raises(PeerError) as caught:
                        await laptop.verify()
                    assert (caught.value.device, caught.value.seq) == (stored.device, stored.seq)
                    codes = {"header": ("signature", "malformed"), "summary": ("digest",), "body": ("missing",)}
                    assert caught.value.code in codes[kind]
        assert (await laptop.verify()).unreadable == ()
        assert await exported(laptop, scene.base / "whole.jsonl") == scene.after


async def test_a_roster_entry(scene: Scene, pytestconfig: pytest.Config) -> None:
    """ROS-04: a device that joins refuses it, and one that has it already finds out when it verifies."""
    home = scene.copy()
    for stored in scene.stored("entry"):
        for bit in stored.bits(f"entry {stored.key}", counted(pytestconfig)):
            with stored.flipped(bit):
                with pytest.raises(PeerError) as caught:
                    await (await recovered(scene.base / "never", scene.kit)).close()
                assert caught.value.code in ("signature", "malformed"), bit
                assert not (scene.base / "never" / "vault").exists()
                async with await opened(home) as laptop:
                    with pytest.raises(PeerError) as caught:
                        await laptop.verify()
                    assert caught.value.code in ("signature", "malformed"), bit
                    assert await exported(laptop, scene.base / "still.jsonl") == scene.before


async def test_a_wrap(scene: Scene, pytestconfig: pytest.Config) -> None:
    """KEY-07: in its ML-KEM part, its X25519 part and what they wrap; whoever needs it refuses it."""
    home = scene.base / "rotated"
    shutil.copytree(scene.laptop, home)
    await (await recovered(scene.base / "third", scene.kit)).close()  # rotates: the laptop needs its new wrap
    [(newest,)] = scene.rows("SELECT max(number) FROM wrap WHERE account = ? AND recipient = 2")
    own = scene.one("wrap", "wrap|wrap|recipient = 2 AND number = ?", newest)
    parts = [range(8 * 1088), range(8 * 1088, 8 * 1120), range(8 * 1120, 8 * 1168)]
    dice = random.Random("wrap")
    bits = [dice.choice(part) for part in parts for _ in range(counted(pytestconfig) // 3)]
    for bit in bits:
        with own.flipped(bit):
            async with await opened(home) as laptop:
                with pytest.raises(AuthenticationError) as caught:
                    await laptop.sync()
                assert caught.value.code == "digest"
                assert await exported(laptop, scene.base / "still.jsonl") == scene.before
    async with await opened(home) as laptop:
        await laptop.sync()
        assert await exported(laptop, scene.base / "whole.jsonl") == scene.after
    [(newest,)] = scene.rows("SELECT max(number) FROM wrap WHERE account = ? AND recipient = 0")
    stored = scene.one("wrap", "wrap|wrap|recipient = 0 AND number = ?", newest)
    for bit in bits[:: max(1, len(bits) // 6)]:
        with stored.flipped(bit):
            with pytest.raises(AuthenticationError) as caught:
                await (await recovered(scene.base / "never", scene.kit)).close()
            assert caught.value.code == "digest"
            assert not (scene.base / "never" / "vault").exists()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("feed|header_id|device = 1", "fork"),
        # These are the relay's own notes, which no device is ever shown.
        ("segment|header_id|device = 1 AND seq = 2", None),
        ("account|roster_id|1", None),
    ],
)
async def test_what_the_relay_notes_beside_them(scene: Scene, statement: str, code: str | None) -> None:
    """No id that the relay names is believed against the headers."""
    home = scene.copy()
    stored = scene.one("note", statement)
    async with await opened(home) as laptop:
        for bit in stored.bits(statement, 4):
            with stored.flipped(bit):
                if code is None:
                    assert (await laptop.sync()).unreadable == ()
                else:
                    with pytest.raises(PeerError) as caught:
                        await laptop.sync()
                    assert (caught.value.code, caught.value.device) == (code, 1)
                    assert caught.value.seq is not None
        await laptop.sync()
        assert await exported(laptop, scene.base / "whole.jsonl") == scene.after


async def test_the_command_says_so_and_others_are_served(scene: Scene) -> None:
    """Exit status 3, device and seq on standard error, and another account on the same relay does not notice."""
    kit = scene.base / "kit.txt"
    kit.write_text(scene.kit.to_text(), encoding="utf-8")
    device = Device(scene.base / "command")
    stored = {kind: scene.stored(kind)[0] for kind in ("header", "summary", "body")}
    summary = stored["summary"]
    where = f"device {summary.device}, seq {summary.seq}: "
    with summary.flipped(77):
        # It has joined, and has what comes before the flipped bit.
        assert where in device.run("recover", "--kit", str(kit), "--name", "command", status=3)
        before = device.export(scene.base / "command.jsonl")
        said = device.run("sync", status=3)
        assert where in said
        assert "(digest)" in said
        async with created(scene.base / "other", scene.relay.url) as (other, _):
            await other.append(await other.conversation("telegram:user:1"), Text("hi"))
            assert (await other.sync()).segments_sent == 1
            assert (await other.verify()).records == 2
        assert device.export(scene.base / "command.jsonl") == before
    for kind, one in stored.items():
        with one.flipped(77):
            said = device.run("verify", status=3)
            assert f"device {one.device}, seq {one.seq}: " in said, kind
    assert json.loads(device.run("sync", "--json"))["unreadable"] == []
    assert device.export(scene.base / "command.jsonl") == scene.after


async def test_a_relay_that_loads_a_flipped_roster_entry(scene: Scene) -> None:
    """It judges what it loads (REL-04), blames nobody but its own disk, and serves all other accounts."""
    entry = scene.stored("entry")[0]
    home = scene.copy()
    with entry.flipped(4_321):
        scene.relay.restart()
        async with await opened(home) as laptop:
            with pytest.raises((PeerError, RefusedError)) as caught:
                await laptop.sync()
            assert getattr(caught.value, "code", None) == "internal"
            assert await exported(laptop, scene.base / "still.jsonl") == scene.before
        async with created(scene.base / "another", scene.relay.url) as (other, _):
            await other.append(await other.conversation("telegram:user:1"), Text("hi"))
            assert (await other.sync()).segments_sent == 1
    scene.relay.restart()
    async with await opened(home) as laptop:
        await laptop.sync()
        assert await exported(laptop, scene.base / "whole.jsonl") == scene.after
