"""Replacing the kit, and all that does it on the way, killed at any point: the old kit is good, or the new one is there."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sealkeep_client import RecoveryKit, Text, Vault
from sealkeep_client.kit import read_kit, write_kit
from sealkeep_protocol.errors import RefusedError
from sealkeep_protocol.kit import KitError
from support.clients import Device
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import created, opened, recovered

ROSTER = ("POST", "/roster")
LATER = [
    pytest.param(False, id="before the relay has it", marks=pytest.mark.long),
    pytest.param(True, id="before the answer"),
]


@dataclass
class Place:
    """A phone and a laptop behind a proxy; the laptop's commands are what is killed."""

    base: Path
    proxy: Proxy
    kit: RecoveryKit
    laptop: Device

    @property
    def old(self) -> Path:
        path = self.base / "old.txt"
        path.write_text(self.kit.to_text(), encoding="ascii")
        return path

    @property
    def new(self) -> Path:
        return self.base / "new.txt"

    def kill(self, device: Device, *command: str, taken: bool) -> None:
        """Run a command that is killed when it appends to the roster: before, or after the relay has it."""
        running: list[subprocess.Popen[str]] = []

        def act() -> None:
            running[0].kill()
            running[0].wait()
            if not taken:
                raise ConnectionAbortedError  # nor does the relay get it from the proxy

        self.proxy.lose_answer(*ROSTER, act=act) if taken else self.proxy.before(*ROSTER, act)
        running.append(device.start(*command))
        running[0].communicate(timeout=60)
        assert running[0].returncode == -signal.SIGKILL

    async def check(self, *, taken: bool) -> None:
        """Exactly one of the two kits is the one that restores everything, and both are there to be tried."""
        new = read_kit(self.new)
        assert (await Vault.verify_kit(new if taken else self.kit)).restores_all
        if taken:
            assert not (await Vault.verify_kit(self.kit)).restores_all
        else:
            with pytest.raises(KitError, match=r"not \(yet\) in force"):
                await Vault.verify_kit(new)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("kits") / "relay") as process:
        yield process


@pytest.fixture
async def place(tmp_path: Path, relay: RelayProcess) -> AsyncIterator[Place]:
    with Proxy(relay.port) as proxy:
        async with created(tmp_path / "phone", proxy.url) as (phone, kit):
            await phone.append(await phone.conversation("telegram:user:1"), Text("hi"))
            await phone.sync()
            async with await recovered(tmp_path / "laptop", kit, proxy.url) as laptop:
                await laptop.sync()
        yield Place(tmp_path, proxy, kit, Device(tmp_path / "laptop"))


@pytest.mark.parametrize("in_hand", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("taken", [False, True], ids=["before the relay has it", "before the answer"])
async def test_kit_replace(place: Place, taken: bool, in_hand: bool) -> None:
    """The new kit is in the person's hands before the roster is told of it; the same command again finishes, with it."""
    command = ("kit", "replace", "--kit", str(place.new), *(("--with", str(place.old)) if in_hand else ()))
    place.kill(place.laptop, *command, taken=taken)
    written = place.new.read_bytes()
    await place.check(taken=taken)
    if taken:
        assert "is your recovery kit already" in place.laptop.run(*command)
    else:
        assert "The recovery kit is replaced." in place.laptop.run(*command)
    assert place.new.read_bytes() == written
    await place.check(taken=True)


@pytest.mark.parametrize("taken", LATER)
async def test_removing_the_device_that_has_seen_the_kit(place: Place, taken: bool) -> None:
    command = ("remove", "phone", "--kit", str(place.new))
    place.kill(place.laptop, *command, taken=taken)
    await place.check(taken=taken)
    said = place.laptop.run(*command)
    assert "Removed “phone” (device 1)." in said if not taken else "It is removed already." in said
    await place.check(taken=True)
    async with await opened(place.base / "phone") as phone:  # which has not heard of the laptop's name yet
        with pytest.raises(RefusedError, match="removed from the account by “device 2”"):
            await phone.sync()


@pytest.mark.parametrize("taken", LATER)
async def test_taking_the_account_back(place: Place, taken: bool) -> None:
    tablet = Device(place.base / "tablet")
    command = ("recover", "--kit", str(place.old), "--remove-others", "--new-kit", str(place.new), "--name", "tablet")
    place.kill(tablet, *command, "--relay", place.proxy.url, taken=taken)
    await place.check(taken=taken)
    said = tablet.run(*command)
    assert "Restored 1 message in 1 chat." in said
    await place.check(taken=True)
    async with await opened(tablet.home) as vault:
        assert [device.active for device in await vault.devices()] == [False, False, True]


@pytest.mark.long
async def test_no_other_kit_is_called_the_new_one(place: Place) -> None:
    """What is gone on with has its kit already: a file that lies where this call would write one is not it."""
    tablet = Device(place.base / "tablet")
    command = ("recover", "--kit", str(place.old), "--remove-others", "--name", "tablet", "--new-kit")
    place.kill(tablet, *command, str(place.new), "--relay", place.proxy.url, taken=True)
    other = place.base / "other.txt"
    write_kit(other, replace(place.kit, seed=bytes(32)))
    said = tablet.run(*command, str(other))
    assert "Restored 1 message in 1 chat." in said
    assert other.name not in said
    await place.check(taken=True)


@pytest.mark.parametrize("taken", [False, True], ids=["before the relay has it", "before the answer"])
def test_it_says_that_nobody_knows_whether_the_new_kit_is_in_force(place: Place, taken: bool) -> None:
    """And what to do; a kit that is not in force is no fault of the relay's."""

    def abort() -> None:
        raise ConnectionAbortedError

    def go_away() -> None:
        for _ in range(5):
            place.proxy.before("GET", "/roster", abort)  # nor can it look afterwards
        if not taken:
            abort()

    place.proxy.lose_answer(*ROSTER, act=go_away) if taken else place.proxy.before(*ROSTER, go_away)
    phone = place.laptop
    running = phone.start("kit", "replace", "--kit", str(place.new))
    out, err = running.communicate(timeout=60)
    place.proxy.forget_rules()
    assert (running.returncode, out) == (1, "")
    told = f"{place.new} is written, and it is not known whether it is in force: keep it beside the one that you had;"
    assert told in err
    assert f"the same command again, with `--kit {place.new}`, finds out" in err
    verify = phone.start("kit", "verify", "--kit", str(place.new))
    out, err = verify.communicate(timeout=60)
    if taken:
        assert verify.returncode == 0
    else:
        assert (verify.returncode, out) == (1, "")
        assert err.startswith(
            "sealkeep: this recovery kit is not (yet) in force in this account: where its making was broken"
        )
    again = phone.run("kit", "replace", "--kit", str(place.new))
    assert ("is your recovery kit already" if taken else "The recovery kit is replaced.") in again
