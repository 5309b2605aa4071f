"""A device that is interrupted while it begins or joins: what it says next works, and no device without keys is left."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sealkeep_client import RecoveryKit, Text
from sealkeep_protocol.errors import RefusedError
from support.clients import Device
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import created, opened, recovered

ROSTER, ACCOUNTS, CHANGES = ("POST", "/roster"), ("POST", "/v1/accounts"), ("GET", "/changes")
STOPPED = 130


@dataclass
class Place:
    """A relay behind a proxy that keeps the account of a phone; the laptop and its commands are what is interrupted."""

    base: Path
    proxy: Proxy
    relay: RelayProcess
    kit: RecoveryKit
    laptop: Device

    @property
    def page(self) -> Path:
        path = self.base / "kit.txt"
        path.write_text(self.kit.to_text(), encoding="utf-8")
        return path

    def recover(self) -> tuple[str, ...]:
        return ("recover", "--relay", self.proxy.url, "--kit", str(self.page), "--name", "laptop")

    def interrupt(self, device: Device, *command: str, at: tuple[str, str], taken: bool, by: int) -> tuple[int, str]:
        """Run a command that gets a signal at a request, before or after the relay has it; its end and last words."""
        running: list[subprocess.Popen[str]] = []

        def act() -> None:
            running[0].send_signal(by)
            if by == signal.SIGKILL:
                running[0].wait()
                if not taken:
                    raise ConnectionAbortedError  # nor does the relay get it from the proxy

        self.proxy.lose_answer(*at, act=act) if taken else self.proxy.before(*at, act)
        running.append(device.start(*command))
        _, err = running[0].communicate(timeout=60)
        return running[0].returncode, err

    async def devices(self) -> int:
        """How many devices the roster has, as the phone reads it."""
        async with await opened(self.base / "phone") as phone:
            await phone.sync()
            assert (await phone.verify()).unreadable == ()
            return (await phone.status()).devices


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with RelayProcess(tmp_path / "relay") as relay, Proxy(relay.port) as proxy:
        async with created(tmp_path / "phone", proxy.url) as (phone, kit):
            await phone.append(await phone.conversation("telegram:user:1"), Text("hi"))
            await phone.sync()
        yield Place(tmp_path, proxy, relay, kit, Device(tmp_path / "laptop"))


@pytest.mark.parametrize(
    ("taken", "by"),
    [
        pytest.param(False, signal.SIGKILL, id="killed before the relay has it"),
        pytest.param(True, signal.SIGKILL, id="killed before the answer"),
        pytest.param(True, signal.SIGINT, id="stopped before the answer"),
    ],
)
async def test_a_recovery_goes_on(place: Place, taken: bool, by: int) -> None:
    """Its keys are kept before the roster is told of them; the same command again finds out, and joins once."""
    status, said = place.interrupt(place.laptop, *place.recover(), at=ROSTER, taken=taken, by=by)
    if by == signal.SIGINT:
        assert status == STOPPED
        assert said.splitlines()[-1] == (
            "sealkeep: stopped: this device may have joined the account already; the same command again goes on from here"
        )
    else:
        assert status == -signal.SIGKILL
    refused = place.laptop.run("status", status=1)
    assert "this device has begun to join an account in" in refused
    assert "Restored 1 message in 1 chat." in place.laptop.run(*place.recover())
    assert await place.devices() == 2
    async with await opened(place.laptop.home) as laptop:
        await laptop.append(await laptop.conversation("telegram:user:1"), Text("ho"))
        await laptop.sync()
    assert await place.devices() == 2


async def test_a_recovery_that_is_stopped_once_it_has_joined(place: Place) -> None:
    status, said = place.interrupt(place.laptop, *place.recover(), at=CHANGES, taken=False, by=signal.SIGINT)
    assert status == STOPPED
    assert said.splitlines()[-1] == (
        f"sealkeep: stopped: this device has joined the account, in {place.laptop.home}; `sealkeep sync` goes on fetching"
    )
    assert "Received" in place.laptop.run("sync")
    assert await place.devices() == 2


@pytest.mark.parametrize("taken", [False, True], ids=["not taken", "taken"])
async def test_a_recovery_that_is_to_remove_others_after_one_that_was_not(place: Place, taken: bool) -> None:
    """P7: it removes them, or says that it did not; never what is not so."""
    place.interrupt(place.laptop, *place.recover(), at=ROSTER, taken=taken, by=signal.SIGKILL)
    new_kit = place.base / "new.txt"
    reclaim = (*place.recover(), "--remove-others", "--new-kit", str(new_kit))
    if taken:
        said = place.laptop.run(*reclaim, status=1)
        assert "the other devices are still in the account" in said
        assert "`sealkeep remove 1 --with KIT` removes them" in said
        assert not new_kit.exists()
        place.laptop.run("remove", "1", "--with", str(place.page), "--kit", str(new_kit))
    else:
        assert "All other devices are removed" in place.laptop.run(*reclaim)
        assert new_kit.exists()
    async with await opened(place.base / "phone") as phone:
        with pytest.raises(RefusedError, match="removed from the account"):
            await phone.sync()


@pytest.mark.parametrize("taken", [False, True], ids=["not taken", "taken"])
async def test_a_recovery_after_one_that_was_to_remove_others(place: Place, taken: bool) -> None:
    """It removes nobody any more; where the earlier one has, it says so, and where the new kit is."""
    new_kit = place.base / "new.txt"
    reclaim = (*place.recover(), "--remove-others", "--new-kit", str(new_kit))
    place.interrupt(place.laptop, *reclaim, at=ROSTER, taken=taken, by=signal.SIGKILL)
    done = place.laptop.start(*place.recover())
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0
    assert "Restored 1 message in 1 chat." in out
    assert ("all other devices are removed, and the recovery kit is replaced" in err) is taken
    if not taken:
        assert await place.devices() == 2


async def test_an_init_that_is_stopped(place: Place) -> None:
    tablet, kit = Device(place.base / "tablet"), place.base / "tablet-kit.txt"
    command = ("init", "--relay", place.proxy.url, "--kit", str(kit))
    status, said = place.interrupt(tablet, *command, at=ACCOUNTS, taken=True, by=signal.SIGINT)
    assert status == STOPPED
    assert said.splitlines()[-1] == (
        f"sealkeep: stopped: the vault is made and its recovery kit is {kit}; `sealkeep sync` tells the relay of them"
    )
    assert "Everything is in step." in tablet.run("sync")
    Device(place.base / "other").run("recover", "--kit", str(kit))


async def test_an_init_that_is_stopped_before_there_is_anything(place: Place) -> None:
    tablet, kit = Device(place.base / "tablet"), place.base / "tablet-kit.txt"
    command = ("init", "--relay", place.proxy.url, "--kit", str(kit))
    status, said = place.interrupt(tablet, *command, at=("GET", "/v1/info"), taken=True, by=signal.SIGINT)
    assert status == STOPPED
    assert said.splitlines()[-1] == "sealkeep: stopped: nothing is lost; the same command again goes on from here"
    assert not kit.exists()
    tablet.run(*command)
    assert kit.exists()


@pytest.mark.parametrize("taken", [False, True], ids=["before the relay has it", "before the answer"])
async def test_others_join_before_a_recovery_goes_on(place: Place, taken: bool) -> None:
    """ROS-13: its entry is where it was, or its place is taken: then it rebases, with the same keys."""
    place.interrupt(place.laptop, *place.recover(), at=ROSTER, taken=taken, by=signal.SIGKILL)
    for name in ("tablet", "desktop"):
        async with await recovered(place.base / name, place.kit, place.relay.url, name) as other:
            await other.append(await other.conversation("telegram:user:1"), Text(name))
            await other.sync()
    async with await recovered(place.laptop.home, place.kit, place.relay.url) as laptop:
        assert (await laptop.sync()).unreadable == ()
        status = await laptop.status()
        assert (status.device, status.devices, status.messages) == (2 if taken else 4, 4, 3)
        assert status.device_name == "laptop"
    assert await place.devices() == 4


async def test_what_was_begun_is_kept_for_its_own_account(place: Place) -> None:
    """Neither another account's kit nor a new account takes its place, and a wrong passphrase changes nothing."""
    place.interrupt(place.laptop, *place.recover(), at=ROSTER, taken=True, by=signal.SIGKILL)
    before = (place.laptop.home / "vault.new" / "key").read_bytes()
    kit = place.base / "other-kit.txt"
    said = place.laptop.run("init", "--relay", place.relay.url, "--kit", str(kit), status=1)
    assert "go on with the command that began it, or give another directory with --home" in said
    assert not kit.exists()
    async with created(place.base / "stranger", place.relay.url) as (_, other):
        kit.write_text(other.to_text(), encoding="utf-8")
    said = place.laptop.run("recover", "--kit", str(kit), status=1)
    assert "begun to join another account here" in said
    place.laptop._environment["SEALKEEP_PASSPHRASE"] = "wrong"
    assert "wrong passphrase" in place.laptop.run(*place.recover(), status=1)
    place.laptop._environment["SEALKEEP_PASSPHRASE"] = "test"
    assert (place.laptop.home / "vault.new" / "key").read_bytes() == before
    place.laptop.run(*place.recover())
    assert await place.devices() == 2
