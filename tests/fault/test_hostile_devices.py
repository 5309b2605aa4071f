"""A device that was enrolled once and turns on the others: the keys that it hands out, and those it brings (P6, P7).

Each through a real relay and real vaults; what it writes: test_hostile_feeds.py, whom it removes: test_hostile_removals.py.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

import pytest

from sealkeep_client import Vault
from sealkeep_client.cli._failures import explain
from sealkeep_client.cli._run import main
from sealkeep_client.kit import write_kit
from sealkeep_client.transport import HttpRelay
from sealkeep_conformance.attacks import Found, Harmless, Lacking, Unseen
from sealkeep_protocol import signed
from sealkeep_protocol.errors import PeerError, RefusedError
from sealkeep_protocol.hybrid_kem import KEM_KEY_SIZE, MLKEM_KEY_SIZE, WRAP_SIZE, wrap
from support.hostile_devices import adding, new_keys, spoilt_entry
from support.hostile_scene import HostileScene

LOW_ORDER = bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")


@pytest.mark.parametrize("name", ["other-secrets", "spoilt-wrap-signed"])
async def test_different_epoch_secrets_for_different_devices(scene: HostileScene, name: str) -> None:
    """KEY-04, ROS-21, ROS-22: the commitment says so to the tablet; it goes on reading, and rotates. All are in step."""
    public = scene.account.roster.devices[2].keys.kem

    def spoil(recipient: int, core: bytes, good: bytes) -> bytes:
        if recipient != 2:
            return good
        other = name == "other-secrets"
        return wrap(os.urandom(32), core=core, recipient=2, public=public) if other else bytes(WRAP_SIZE)

    said = await scene.answered(scene.append(*spoilt_entry(scene.account, spoil)))
    await scene.write(scene.phone, "two")
    await scene.phone.sync()  # under the epoch that the tablet was not given
    found = await scene.found(scene.tablet)
    await scene.write(scene.tablet, "three")
    await scene.tablet.sync()
    await scene.phone.sync()  # links the epoch again
    summary = await scene.tablet.sync()
    assert (summary.received, summary.unopened) == (1, 0)
    assert await scene.texts(scene.tablet) == await scene.texts(scene.phone) == ["one", "three", "two"]
    assert [(c.what, c.signed_by) for c in (await scene.phone.device_log())[-2:]] == [
        ("change", "tablet"),
        ("change", "phone"),
    ]
    await scene.record(name, said, found)


async def test_a_device_without_a_key_that_may_not_rotate_says_whose_doing_that_is(
    scene: HostileScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ROS-21: the relay has taken too many entries lately. It reads what it can, seals nothing, and waits for another."""
    said = await scene.answered(
        scene.append(
            *spoilt_entry(scene.account, lambda recipient, core, good: good if recipient != 2 else bytes(1168))
        )
    )
    append = HttpRelay.append_roster

    async def busy(self: HttpRelay, *arguments: Any) -> None:
        raise RefusedError("busy", "too many", status=429, retryable=True)

    monkeypatch.setattr(HttpRelay, "append_roster", busy)
    await scene.write(scene.tablet, "waits")
    found = await scene.found(scene.tablet)
    status = await scene.tablet.status()
    assert (status.locked_by, status.waiting) == ("laptop", 1)
    monkeypatch.setattr(HttpRelay, "append_roster", append)
    await scene.rotate()
    summary = await scene.tablet.sync()
    assert (summary.locked_by, summary.sent) == (None, 1)
    assert (await scene.tablet.status()).locked_by is None
    await scene.record("spoilt-wrap-busy", said, found)


@pytest.mark.parametrize("name", ["key-low-order", "key-not-reduced", "key-short", "key-signing", "key-no-proof"])
async def test_a_key_that_nobody_can_use(scene: HostileScene, name: str) -> None:
    """KEY-02, KEY-03, ROS-05: it would make everybody's rotation fail. The relay refuses it, and so does every device."""
    good = new_keys().record((1, scene.account.id))
    record = {
        "key-low-order": replace(good, kem=good.kem[:MLKEM_KEY_SIZE] + LOW_ORDER),
        "key-not-reduced": replace(good, kem=b"\xff" * MLKEM_KEY_SIZE + good.kem[MLKEM_KEY_SIZE:]),
        "key-short": good,
        "key-signing": replace(good, signing=bytes(32)),
        "key-no-proof": replace(good, proof=bytes(64)),
    }[name]
    entry, wraps = adding(scene.account, record)
    if name == "key-short":
        core, cut = signed.decode_payload(signed.split(entry)[0]), KEM_KEY_SIZE
        shorter = core.core.replace(
            b"\x59" + cut.to_bytes(2) + good.kem, b"\x59" + (cut - 1).to_bytes(2) + good.kem[:-1]
        )
        entry = signed.sign("roster", scene.account.id, shorter, scene.account.keys.signing, digests=core.digests)
    said = await scene.answered(scene.append(entry, wraps))
    with pytest.raises(PeerError) as refusal:  # a relay that helps would show it
        scene.phone._core.local.account.roster.append(entry)
    found = Found(refusal.value.code), explain(refusal.value).status
    await scene.phone.sync()
    assert len(await scene.phone.devices()) == 3
    await scene.record(name, said, found)


async def test_a_spoilt_recovery_wrap(scene: HostileScene, capsys: pytest.CaptureFixture[str]) -> None:
    """P7: nobody can see it but who has the kit. `kit verify` does; any device's rotation mends it."""
    said = await scene.answered(
        scene.append(
            *spoilt_entry(scene.account, lambda recipient, core, good: good if recipient else b"\7" * WRAP_SIZE)
        )
    )
    await scene.write(scene.phone, "two")
    assert await scene.found(scene.phone, scene.tablet) == (Harmless(), 0)
    report = await Vault.verify_kit(scene.kit)
    assert (report.restores_all, report.missing, report.lost, report.spoilt_by) == (False, (4,), 1, ("laptop",))
    file = scene.base / "kit.txt"
    write_kit(file, scene.kit)
    status = await asyncio.to_thread(main, ["kit", "verify", "--kit", str(file)])
    assert "laptop" in "".join(capsys.readouterr())
    await scene.record("spoilt-kit-wrap", said, (Unseen(section="1.5"), 0))
    await scene.rotate()
    found = Lacking(len(report.missing), 3)
    report = await Vault.verify_kit(scene.kit)
    assert (report.restores_all, report.missing, report.spoilt_by) == (True, (), ())
    await scene.record("spoilt-kit-wrap-tried", said, (found, status))
