"""Any process may die at any instruction (P9): after a restart the sync ends, and nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from pathlib import Path

import pytest

from support.clients import Device, write_telegram
from support.relay import RelayProcess

MESSAGES = 24_000  # several segments
SEEDS = [pytest.param(seed, marks=() if seed < 3 else pytest.mark.long) for seed in range(20)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    path = tmp_path_factory.mktemp("source") / "result.json"
    return path, write_telegram(path, MESSAGES)


def begin(base: Path, relay: RelayProcess) -> tuple[Device, Device]:
    phone, laptop = Device(base / "phone"), Device(base / "laptop")
    phone.run("init", "--relay", relay.url, "--kit", str(base / "kit.txt"), "--name", "phone")
    return phone, laptop


def finish(base: Path, relay: RelayProcess, phone: Device, laptop: Device, texts: set[str]) -> None:
    """Both devices show every message once, and the relay holds all of it."""
    phone.run("sync")
    laptop.run("recover", "--relay", relay.url, "--kit", str(base / "kit.txt"), "--name", "laptop")
    laptop.run("sync")
    exported = phone.export(base / "phone.jsonl")
    assert exported == laptop.export(base / "laptop.jsonl")
    records = [line for line in map(json.loads, exported.splitlines()) if line["type"] == "record"]
    assert len(records) == len(texts)
    assert {record["text"] for record in records} == texts
    laptop.run("verify")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_client_is_killed(seed: int, source: tuple[Path, set[str]], tmp_path: Path) -> None:
    """SEG-12: what was sealed before is sent again as it was, never as another segment."""
    dice = random.Random(seed)
    path, texts = source
    with RelayProcess(tmp_path / "relay") as relay:
        phone, laptop = begin(tmp_path, relay)
        if phone.killed(dice.uniform(0.2, 2.0), "import", str(path)):
            phone.run("import", str(path))
        for _ in range(3):
            phone.killed(dice.uniform(0.25, 1.2), "sync")
        finish(tmp_path, relay, phone, laptop, texts)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_relay_is_killed(seed: int, source: tuple[Path, set[str]], tmp_path: Path) -> None:
    """SEG-18: what the relay has acknowledged is there after it was killed."""
    dice = random.Random(1000 + seed)
    path, texts = source
    with RelayProcess(tmp_path / "relay") as relay:
        phone, laptop = begin(tmp_path, relay)
        phone.run("import", str(path))
        for _ in range(3):
            sync = phone.start("sync")
            with contextlib.suppress(subprocess.TimeoutExpired):
                sync.wait(timeout=dice.uniform(0.25, 1.2))
            relay.kill()
            sync.communicate(timeout=60)
            assert sync.returncode in (0, 1)
            relay.start()
        finish(tmp_path, relay, phone, laptop, texts)
