"""`kill -9` at the moments that matter: what was sealed is not sent, sent and not taken, taken and not answered (P9).

Each of these points is met exactly, by a proxy that sees the requests pass; then come random ones, and in the long run
real chats.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sealkeep_client import RecoveryKit
from support import source_counts
from support.clients import Device
from support.exported import lines
from support.large_exports import texts_of, write_noise
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import created, exported, opened, recovered

MESSAGES = 5_500  # about ten segments, in two appends
APPEND = ("POST", "/segments")
SEEDS = [pytest.param(seed, marks=() if seed < 3 else pytest.mark.long) for seed in range(20)]


@dataclass
class Place:
    """A relay behind a proxy, and the home of a phone. Only what is to be killed is a process."""

    base: Path
    relay: RelayProcess
    proxy: Proxy
    phone: Device
    kit: RecoveryKit

    async def import_into_phone(self, path: Path) -> None:
        async with await opened(self.phone.home) as vault:
            await vault.import_exports([path])

    async def finish(self) -> bytes:
        """After a restart the sync ends, and a device that recovers has the same; returns what both export."""
        async with await opened(self.phone.home) as phone:
            await phone.sync()
            assert (await phone.status()).waiting == 0
            mine = await exported(phone, self.base / "phone.jsonl")
        async with await recovered(self.base / "laptop", self.kit, self.relay.url) as laptop:
            assert (await laptop.sync()).unreadable == ()
            assert await exported(laptop, self.base / "laptop.jsonl") == mine
            assert (await laptop.verify()).unreadable == ()
        return mine


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with RelayProcess(tmp_path / "relay") as relay, Proxy(relay.port) as proxy:
        async with created(tmp_path / "phone", proxy.url) as (_, kit):
            pass
        yield Place(tmp_path, relay, proxy, Device(tmp_path / "phone"), kit)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[str]]:
    path = tmp_path_factory.mktemp("noise") / "result.json"
    return path, write_noise(path, MESSAGES)


@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("taken", [False, True], ids=["before the relay has it", "before the answer"])
async def test_the_client_is_killed_at_an_append(
    place: Place, noise: tuple[Path, Counter[str]], taken: bool, skip: int
) -> None:
    """SEG-12: sealed and kept; then, whether the relay has it or not, sent as it stands."""
    path, texts = noise
    await place.import_into_phone(path)
    running: list[subprocess.Popen[str]] = []
    if taken:
        place.proxy.lose_answer(*APPEND, skip=skip, act=lambda: running[0].kill())
    else:
        place.proxy.before(*APPEND, lambda: running[0].kill(), skip=skip)
    running.append(place.phone.start("sync"))
    running[0].communicate(timeout=60)
    assert running[0].returncode == -9
    assert texts_of(await place.finish()) == texts


@pytest.mark.parametrize("taken", [False, True], ids=["before it has it", "before it answers"])
async def test_the_relay_is_killed_at_an_append(place: Place, noise: tuple[Path, Counter[str]], taken: bool) -> None:
    """SEG-18: exit status 1, everything is safe; and the same again when the relay is back."""
    path, texts = noise
    await place.import_into_phone(path)
    if taken:
        place.proxy.lose_answer(*APPEND, skip=1, act=place.relay.kill)
    else:
        place.proxy.before(*APPEND, place.relay.kill, skip=1)
    said = place.phone.run("sync", status=1)
    assert "everything is safe on this device" in said
    assert said.count("\n") == 1
    place.relay.start()
    assert texts_of(await place.finish()) == texts


async def test_both_are_killed_again_and_again(place: Place, noise: tuple[Path, Counter[str]]) -> None:
    """Relay and client at every append in turn, in the middle of the import too."""
    path, texts = noise
    for moment in (0.1, 0.35, 0.6):
        place.phone.killed(moment, "import", str(path))
    await place.import_into_phone(path)

    def both(process: list[subprocess.Popen[str]]) -> Callable[[], None]:
        def kill() -> None:
            place.relay.kill()
            process[0].kill()

        return kill

    for taken in (True, False, True):
        running: list[subprocess.Popen[str]] = []
        if taken:
            place.proxy.lose_answer(*APPEND, act=both(running))
        else:
            place.proxy.before(*APPEND, both(running))
        running.append(place.phone.start("sync"))
        running[0].communicate(timeout=60)
        with contextlib.suppress(RuntimeError):  # it was killed
            place.relay.kill()
        place.proxy.forget_rules()
        place.relay.start()
    assert texts_of(await place.finish()) == texts


async def test_a_device_that_is_killed_while_it_restores(place: Place, noise: tuple[Path, Counter[str]]) -> None:
    """At a page of changes, and at any time: it goes on where it was."""
    path, texts = noise
    await place.import_into_phone(path)
    async with await opened(place.phone.home) as phone:
        await phone.sync()
    late = Device(place.base / "late")
    await (await recovered(late.home, place.kit, place.proxy.url)).close()
    running: list[subprocess.Popen[str]] = []
    place.proxy.lose_answer("GET", "/changes", act=lambda: running[0].kill())
    running.append(late.start("sync"))
    running[0].communicate(timeout=60)
    assert running[0].returncode == -9
    for moment in (0.3, 0.5, 0.7):
        late.killed(moment, "sync")
    async with await opened(late.home) as vault:
        await vault.sync()
        assert texts_of(await exported(vault, place.base / "late.jsonl")) == texts
    assert await place.finish() == (place.base / "late.jsonl").read_bytes()


async def die(place: Place, victim: str, source: Path, dice: random.Random, deaths: int, longest: float) -> None:
    """Import and sync, dying at random points; `longest` seconds are about as long as either takes."""
    if victim == "client":
        if place.phone.killed(dice.uniform(0.2, longest), "import", str(source)):
            await place.import_into_phone(source)
        for _ in range(deaths):
            place.phone.killed(dice.uniform(0.3, longest), "sync")
        return
    await place.import_into_phone(source)
    for _ in range(deaths):
        sync = place.phone.start("sync")
        with contextlib.suppress(subprocess.TimeoutExpired):
            sync.wait(timeout=dice.uniform(0.3, longest))
        place.relay.kill()
        sync.communicate(timeout=60)
        assert sync.returncode in (0, 1)
        place.relay.start()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("victim", ["client", "relay"])
async def test_at_any_moment(place: Place, noise: tuple[Path, Counter[str]], victim: str, seed: int) -> None:
    """P9: after a restart the sync ends, and nothing is lost or doubled."""
    path, texts = noise
    await die(place, victim, path, random.Random(f"{victim} {seed}"), 2, 1.2)
    assert texts_of(await place.finish()) == texts


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("victim", ["client", "relay"])
async def test_real_chats(data_dir: Path, place: Place, victim: str, seed: int) -> None:
    """Random points of the whole import and upload of the largest export; then every entry is there once."""
    source = data_dir / "telegram" / "result.json"
    await die(place, victim, source, random.Random(f"{victim} {seed}"), 3, 5)
    await place.finish()
    assert source_counts.exported(lines(place.base / "laptop.jsonl")) == source_counts.telegram(source)
