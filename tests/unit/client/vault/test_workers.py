"""A vault and its worker process, which may be killed, stand still, or miss a file that only this process sees."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from sealkeep_client.vault import Vault, _importing, _jobs
from sealkeep_client.workers import Worker
from support.large_exports import texts_of, write_noise

Person = Any  # of this folder's conftest
T = TypeVar("T")

MESSAGES = 400  # large ones: some batches of an import, and some segments


@pytest.fixture(autouse=True)
def _worth_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    with Worker() as worker:
        if not worker.enabled:
            pytest.skip("this machine has one core")
    monkeypatch.setattr(_importing, "_WORTH_A_WORKER", 0)
    monkeypatch.setattr(_jobs, "_WORTH_SENDING", 0)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    write_noise(tmp_path / "result.json", MESSAGES, size=4_200)
    return tmp_path / "result.json"


def workers() -> list[psutil.Process]:
    """The worker processes of this process that are there."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.ZombieProcess):
            if "sealkeep_client.workers" in child.cmdline():
                found.append(child)
    return found


async def texts(vault: Vault, out: Path) -> set[str]:
    await vault.export(out, format="jsonl")
    return set(texts_of(out.read_bytes()))


async def test_an_import_whose_worker_is_killed_is_the_same(
    person: Person, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, lost = await person.create(), asyncio.Event()
    monkeypatch.setattr(_importing, "_take", losing(signal.SIGKILL, lost, _importing._take))
    report = await phone.import_exports([export])
    assert lost.is_set()
    assert (report.added, report.changed, report.problems) == (MESSAGES, 0, ())
    assert len(await texts(phone, tmp_path / "out.jsonl")) == MESSAGES
    assert not workers()


async def test_an_import_is_given_up_although_its_worker_stands_still(
    person: Person, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, lost = await person.create(), asyncio.Event()
    with monkeypatch.context() as patched:
        patched.setattr(_importing, "_take", losing(signal.SIGSTOP, lost, _importing._take))
        importing = asyncio.create_task(phone.import_exports([export]))
        await lost.wait()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert not workers()
    assert await phone.conversations() == []


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
@pytest.mark.parametrize("deleted", [False, True])
async def test_a_file_that_only_this_process_sees_is_read(person: Person, export: Path, deleted: bool) -> None:
    """As `sealkeep import /dev/stdin < result.json` gives it."""
    phone = await person.create()
    with export.open("rb") as file:
        if deleted:
            export.unlink()
        async with asyncio.timeout(60):
            assert (await phone.import_exports([Path(f"/dev/fd/{file.fileno()}")])).added == MESSAGES


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_sync_whose_worker_is_lost_goes_on(
    person: Person, export: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, and the sync makes the calls itself; or stopped, and it is given up and begun again."""
    phone = await person.create()
    await phone.import_exports([export])
    laptop = await person.recover()
    for vault in (phone, laptop):  # sending, and receiving
        lost = asyncio.Event()
        with monkeypatch.context() as patched:
            patched.setattr(Worker, "submit", losing(number, lost, Worker.submit))
            syncing = asyncio.create_task(vault.sync())
            await lost.wait()
        if number is signal.SIGSTOP:
            syncing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await syncing
            assert not workers()
            syncing = asyncio.create_task(vault.sync())
        await syncing
        assert not workers()
        assert (await vault.status()).waiting == 0
    assert (await laptop.status()).messages == MESSAGES
    assert await texts(laptop, tmp_path / "laptop.jsonl") == await texts(phone, tmp_path / "phone.jsonl")


def losing(number: signal.Signals, lost: asyncio.Event, function: Callable[..., T]) -> Callable[..., T]:
    """A function that sends a signal to the worker in its second call while there is one."""
    loop, calls = asyncio.get_running_loop(), count()

    def losing_once(*arguments: Any) -> T:
        if not lost.is_set() and workers() and next(calls) == 1:
            for one in workers():
                os.kill(one.pid, number)
            loop.call_soon_threadsafe(lost.set)
        return function(*arguments)

    return losing_once
