"""A device that was enrolled once and turns on the others: what it can sign, and what that comes to (P3, P6, P7).

Each through a real relay and real vaults. Two headers at one seq, with a relay that helps: tests/unit/client/engine.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sealkeep_client import RecoveryKit, Text, Vault
from sealkeep_client.cli._failures import explain
from sealkeep_client.engine import Account, Change
from sealkeep_client.transport import HttpRelay
from sealkeep_protocol import signed
from sealkeep_protocol.errors import HistoryError, PeerError, RefusedError, UsageError
from sealkeep_protocol.hybrid_kem import KEM_KEY_SIZE, MLKEM_KEY_SIZE, WRAP_SIZE, wrap
from sealkeep_protocol.roster import Removal, Roster, compose_change
from sealkeep_protocol.segments import Head, Position, SealedSegment, SegmentClass, seal_segment, summarize
from sealkeep_protocol.types import NO_ID, DeviceId, ObjectId, Seq
from support.accounts import MadeAccount, refused
from support.hostile_devices import adding, new_keys, spoilt_entry
from support.memory_relay import Device, MemoryRelay, Stored
from support.proxy import Proxy
from support.relay import RelayProcess
from support.vaults import UNLOCK, created, recovered

CHAT = "telegram:user:1"
LOW_ORDER = bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")


class Scene(NamedTuple):
    """The owner's phone and tablet, and the laptop that turns on them."""

    phone: Vault
    tablet: Vault
    laptop: Vault
    kit: RecoveryKit
    proxy: Proxy

    async def write(self, vault: Vault, text: str, *, time: int | None = None) -> None:
        await vault.append(await vault.conversation(CHAT), replace(Text(text), time=time))

    async def texts(self, vault: Vault) -> list[str | None]:
        found = [r.text async for page in vault.history(await vault.conversation(CHAT)) for r in page]
        return sorted(found, key=str)

    @property
    def account(self) -> Account:
        """The laptop's."""
        return self.laptop._core.local.account

    async def append(self, entry: bytes, wraps: list[bytes]) -> None:
        await self.laptop._core.relay.append_roster(self.account.id, self.account.roster.number, entry, wraps)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path_factory.mktemp("hostile") / "relay") as process:
        yield process


@pytest.fixture
async def scene(tmp_path: Path, relay: RelayProcess) -> AsyncIterator[Scene]:
    with Proxy(relay.port) as proxy:
        async with (
            created(tmp_path / "phone", proxy.url) as (phone, kit),
            await recovered(tmp_path / "tablet", kit, relay.url, "tablet") as tablet,
            await recovered(tmp_path / "laptop", kit, relay.url, "laptop") as laptop,
        ):
            scene = Scene(phone, tablet, laptop, kit, proxy)
            await scene.write(phone, "one")
            for vault in (phone, tablet, laptop):
                await vault.sync()
            yield scene


async def test_different_epoch_secrets_for_different_devices(scene: Scene) -> None:
    """KEY-04, ROS-21, ROS-22: the commitment says so to the tablet; it goes on reading, and rotates. All are in step."""
    public = scene.account.roster.devices[2].keys.kem

    def spoil(recipient: int, core: bytes, good: bytes) -> bytes:
        return wrap(os.urandom(32), core=core, recipient=2, public=public) if recipient == 2 else good

    await scene.append(*spoilt_entry(scene.account, spoil))
    await scene.write(scene.phone, "two")
    await scene.phone.sync()  # under the epoch that the tablet was not given
    summary = await scene.tablet.sync()
    assert (summary.unopened, summary.unreadable, summary.locked_by) == (1, (), None)
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


async def test_a_device_without_a_key_that_may_not_rotate_says_whose_doing_that_is(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ROS-21: the relay has taken too many entries lately. It reads what it can, seals nothing, and waits for another."""
    await scene.append(
        *spoilt_entry(scene.account, lambda recipient, core, good: good if recipient != 2 else bytes(1168))
    )
    append = HttpRelay.append_roster

    async def busy(self: HttpRelay, *arguments: Any) -> None:
        raise RefusedError("busy", "too many", status=429, retryable=True)

    monkeypatch.setattr(HttpRelay, "append_roster", busy)
    await scene.write(scene.tablet, "waits")
    summary = await scene.tablet.sync()
    assert (summary.locked_by, summary.sent) == ("laptop", 0)
    status = await scene.tablet.status()
    assert (status.locked_by, status.waiting) == ("laptop", 1)
    monkeypatch.setattr(HttpRelay, "append_roster", append)
    await scene.phone.rotate()
    summary = await scene.tablet.sync()
    assert (summary.locked_by, summary.sent) == (None, 1)
    assert (await scene.tablet.status()).locked_by is None


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("low order", "key"),
        ("not reduced", "key"),
        ("short", "malformed"),
        ("small signing key", "key"),
        ("no proof", "signature"),
    ],
)
async def test_a_key_that_nobody_can_use(scene: Scene, kind: str, code: str) -> None:
    """KEY-02, KEY-03, ROS-05: it would make everybody's rotation fail. The relay refuses it, and so does every device."""
    good = new_keys().record((1, scene.account.id))
    record = {
        "low order": replace(good, kem=good.kem[:MLKEM_KEY_SIZE] + LOW_ORDER),
        "not reduced": replace(good, kem=b"\xff" * MLKEM_KEY_SIZE + good.kem[MLKEM_KEY_SIZE:]),
        "short": good,
        "small signing key": replace(good, signing=bytes(32)),
        "no proof": replace(good, proof=bytes(64)),
    }[kind]
    entry, wraps = adding(scene.account, record)
    if kind == "short":
        core, cut = signed.decode_payload(signed.split(entry)[0]), KEM_KEY_SIZE
        shorter = core.core.replace(
            b"\x59" + cut.to_bytes(2) + good.kem, b"\x59" + (cut - 1).to_bytes(2) + good.kem[:-1]
        )
        entry = signed.sign("roster", scene.account.id, shorter, scene.account.keys.signing, digests=core.digests)
    with pytest.raises(RefusedError) as caught:
        await scene.append(entry, wraps)
    assert caught.value.code == {"key": "invalid"}.get(code, code)
    with pytest.raises(PeerError) as refusal:
        scene.phone._core.local.account.roster.append(entry)
    assert refusal.value.code == code
    await scene.phone.sync()
    assert len(await scene.phone.devices()) == 3


async def test_a_spoilt_recovery_wrap(scene: Scene) -> None:
    """P7: nobody can see it but who has the kit. `kit verify` does; any device's rotation mends it."""
    await scene.append(
        *spoilt_entry(scene.account, lambda recipient, core, good: good if recipient else b"\7" * WRAP_SIZE)
    )
    await scene.write(scene.phone, "two")
    await scene.phone.sync()
    report = await Vault.verify_kit(scene.kit)
    assert (report.restores_all, report.missing, report.lost, report.spoilt_by) == (False, (4,), 1, ("laptop",))
    await scene.phone.rotate()
    report = await Vault.verify_kit(scene.kit)
    assert (report.restores_all, report.missing, report.spoilt_by) == (True, (), ())


async def test_a_clock_years_ahead(scene: Scene) -> None:
    """§7.7: what it writes stands where it says; no other device's clock follows, and nobody's order is lost."""
    far = 4_000_000_000_000
    await scene.write(scene.laptop, "from 2096", time=far)
    scene.laptop._core.local.clock.observe(far << 16, far)
    await scene.write(scene.laptop, "a native one")
    await scene.laptop.sync()
    entry = compose_change(
        scene.account.roster,
        scene.account.signer,
        scene.account.keys.signing,
        list(scene.account.epochs.values()),
        random=os.urandom,
        time=(1 << 63) - 1,
    )
    await scene.append(entry.entry, list(entry.wraps))
    await scene.phone.sync()
    assert scene.phone._core.local.clock.last >> 16 < far
    await scene.write(scene.phone, "now")
    assert await scene.texts(scene.phone) == ["a native one", "from 2096", "now", "one"]
    assert ((await scene.phone.devices())[2].last_seen or 0) < far
    assert (await scene.phone.device_log())[-1].time == (1 << 63) - 1


async def test_back_dated_segments_are_refused_by_the_relay(scene: Scene) -> None:
    """REL-06, P6: whatever seq and roster head they name."""
    before = scene.account
    await scene.write(scene.laptop, "true")
    await scene.laptop.sync()
    await scene.phone.remove(3)
    for seq in (Seq(1), Seq(2)):
        position = Position(
            account=before.id,
            device=DeviceId(3),
            seq=seq,
            previous=NO_ID,
            roster_number=before.roster.number,
            roster_head=before.roster.head,
            changed_heads=(),
            all_heads=(),
        )
        forged = seal_segment(
            position,
            before.epochs[before.roster.epoch],
            before.keys.signing,
            summarize(SegmentClass.LIVE, [], 0, [], 1),
            b"\xa0",
            compressed=False,
            salt=os.urandom(32),
        )
        with pytest.raises(RefusedError) as caught:
            await scene.laptop._core.relay.append([(forged.header, forged.summary, forged.body, [])])
        assert caught.value.code == "revoked"


def test_back_dated_segments_are_refused_by_clients_though_a_relay_helps() -> None:
    """SEG-24, P6: a seq before its removal, a roster head before its removal, a relay that shows it to a new device."""
    made = MadeAccount(devices=3)
    relay = MemoryRelay(made)
    phone, laptop, fresh = (Device(number, made, relay) for number in (1, 2, 3))
    laptop.write("true")
    laptop.sync()
    then = made.fork()
    phone.change(Change(removed=frozenset({2})))
    then.segments.clear()
    relay.log = [Stored(9, 2, then.seal(2, b"back-dated"), then.roster.number)]
    with refused(HistoryError, "pinned", device=2, seq=1):
        fresh.sync()
    assert fresh.texts == []


async def test_an_entry_flood_that_races_its_removal(scene: Scene) -> None:
    """ROS-20, §5.5: twelve entries, each a moment before the removal gets there; it comes through all the same."""

    def flood() -> None:
        async def rotate() -> None:
            # A line of its own: the laptop's vault belongs to this test's loop.
            line = HttpRelay(str(scene.laptop._core.relay.url), now=asyncio.get_running_loop().time)
            try:
                entries, head = await line.roster(scene.account.id, 0)
                roster = Roster.read(entries, account=scene.account.id)
                composed = compose_change(
                    roster,
                    scene.account.signer,
                    scene.account.keys.signing,
                    list(scene.account.epochs.values()),
                    random=os.urandom,
                )
                await line.append_roster(scene.account.id, head, composed.entry, composed.wraps)
            finally:
                await line.close()

        asyncio.run(rotate())

    for _ in range(12):
        scene.proxy.before("POST", "/roster", flood)
    change = await scene.phone.remove(3)
    assert change.removed == ((3, "laptop"),)
    assert change.entry == 3 + 12
    with pytest.raises(RefusedError, match="removed from the account"):
        await scene.laptop.sync()
    await scene.write(scene.phone, "two")
    await scene.phone.sync()
    await scene.tablet.sync()
    assert await scene.texts(scene.tablet) == ["one", "two"]


def false_view(account: Account) -> SealedSegment:
    """The first segment of this device, whose view holds a head that it does not name."""
    position = Position(
        account=account.id,
        device=account.device,
        seq=Seq(1),
        previous=NO_ID,
        roster_number=account.roster.number,
        roster_head=account.roster.head,
        changed_heads=(),
        all_heads=(Head(DeviceId(1), Seq(1), ObjectId(bytes(32))),),
    )
    return seal_segment(
        position,
        account.epochs[account.roster.epoch],
        account.keys.signing,
        summarize(SegmentClass.LIVE, [], 0, [], 1),
        b"\xa0",
        compressed=False,
        salt=os.urandom(32),
    )


async def test_a_header_that_contradicts_what_everybody_was_shown(scene: Scene) -> None:
    """SEG-07: nobody can tell its author from a lying relay, so that it is reported. The author can be removed all the
    same, on a person's word that what it wrote from there is given up (ROS-12)."""
    false = false_view(scene.account)
    await scene.laptop._core.relay.append([(false.header, false.summary, false.body, [])])
    for steps in (scene.phone.sync, scene.tablet.sync, lambda: scene.phone.remove(3)):
        with refused(HistoryError, "fork", device=3, seq=1):
            await steps()
    change = await scene.phone.remove(3, discard={3: None})
    assert change.removed == ((3, "laptop"),)
    await scene.write(scene.phone, "goes on")
    await scene.phone.sync()
    await scene.tablet.sync()
    assert await scene.texts(scene.tablet) == ["goes on", "one"]


async def test_a_pin_that_nobody_can_reach(scene: Scene, tmp_path: Path, relay: RelayProcess) -> None:
    """ROS-12, VIE-09: the copy route takes no removal of an honest device that pins what was never written: every device
    would miss that for ever, and so would whoever comes with the kit."""
    account = scene.account
    roster, held = account.roster, list(account.epochs.values())
    first = compose_change(
        roster,
        account.signer,
        account.keys.signing,
        held,
        random=os.urandom,
        removed=[Removal(2, 100, os.urandom(32), False)],
    )
    second = compose_change(first.roster, account.signer, account.keys.signing, [*held, first.keys], random=os.urandom)
    with pytest.raises(RefusedError) as caught:
        await scene.laptop._core.relay.copy_roster(
            account.id, [(first.entry, [None] * len(first.wraps)), (second.entry, second.wraps)]
        )
    assert caught.value.code == "pinned"
    async with await recovered(tmp_path / "new", scene.kit, relay.url, "new") as new:
        await new.sync()
        assert await scene.texts(new) == ["one"]
    await scene.tablet.sync()


async def test_an_account_is_taken_back_from_one_who_contradicts(
    scene: Scene, tmp_path: Path, relay: RelayProcess
) -> None:
    """ROS-11, ROS-12: likewise."""
    false = false_view(scene.account)
    await scene.laptop._core.relay.append([(false.header, false.summary, false.body, [])])
    kits: list[RecoveryKit] = []

    async def reclaim(*, discard: bool) -> Vault:
        return await Vault.recover(
            tmp_path / "new",
            kit=scene.kit,
            unlock=UNLOCK,
            name="new",
            relay=relay.url,
            remove_others=True,
            on_kit=kits.append,
            discard=discard,
        )

    with refused(HistoryError, "fork", device=3, seq=1):
        await reclaim(discard=False)
    assert kits == []
    async with await reclaim(discard=True) as new:
        await new.sync()
        assert await scene.texts(new) == ["one"]
        assert (await new.device_log())[-1].pins == ((1, False), (0, False), (0, True))


async def pinned_by_an_accomplice(scene: Scene) -> None:
    """The laptop contradicts what it was shown; the tablet is in league with it, removes it, and pins just that."""
    false = false_view(scene.account)
    await scene.laptop._core.relay.append([(false.header, false.summary, false.body, [])])
    account = scene.tablet._core.local.account
    composed = compose_change(
        account.roster,
        account.signer,
        account.keys.signing,
        list(account.epochs.values()),
        random=os.urandom,
        removed=[Removal(3, 1, false.header_id, False)],
    )
    await scene.tablet._core.relay.append_roster(account.id, account.roster.number, composed.entry, composed.wraps)


async def test_a_contradiction_that_an_accomplice_pins(scene: Scene, tmp_path: Path, relay: RelayProcess) -> None:
    """P7, ROS-23: every reader stops there, and says with which command the kit ends that; no device can, and then all
    go on."""
    await pinned_by_an_accomplice(scene)
    for step in (scene.phone.sync, lambda: scene.phone.remove(2), scene.phone.verify):
        with refused(HistoryError, "fork", device=3, seq=1) as caught:
            await step()
        assert "`sealkeep remove 3 --discard --with KIT`" in explain(caught.value).lines[-1]
    for discard in (None, 0):
        with pytest.raises(UsageError, match=r"device 3 was removed before: .* only with the recovery kit"):
            await scene.phone.remove(3, discard={3: discard})
    change = await scene.phone.remove(2, 3, discard={2: None, 3: None}, kit=scene.kit)
    assert (change.removed, change.lowered) == (((2, "tablet"),), ((3, "laptop"),))
    await scene.write(scene.phone, "goes on")
    await scene.phone.sync()
    lowering, removal = (await scene.phone.device_log())[-2:]
    assert (lowering.signed_by, lowering.pins, lowering.lowered) == ("recovery kit 0", ((0, True),), (3,))
    assert (removal.removed, removal.lowered) == (((2, "tablet"),), ())
    assert [(d.number, d.removed_by) for d in await scene.phone.devices()][1:] == [(2, "a recovery kit"), (3, "tablet")]
    async with await recovered(tmp_path / "new", scene.kit, relay.url, "new") as new:
        await new.sync()
        assert await scene.texts(new) == ["goes on", "one"]


async def test_an_account_is_taken_back_from_accomplices(scene: Scene, tmp_path: Path, relay: RelayProcess) -> None:
    """P7, ROS-11, ROS-23: by one entry; without the person's word it gives up nothing."""
    await pinned_by_an_accomplice(scene)
    kits: list[RecoveryKit] = []

    async def reclaim(*, discard: bool) -> Vault:
        home = tmp_path / "new"
        return await Vault.recover(
            home,
            kit=scene.kit,
            unlock=UNLOCK,
            name="new",
            relay=relay.url,
            remove_others=True,
            on_kit=kits.append,
            discard=discard,
        )

    with refused(HistoryError, "fork", device=3, seq=1):
        await reclaim(discard=False)
    assert kits == []
    async with await reclaim(discard=True) as new:
        await new.sync()
        assert await scene.texts(new) == ["one"]
        last = (await new.device_log())[-1]
        assert (last.what, last.pins, last.lowered) == ("reclaim", ((1, False), (0, False), (0, True)), (3,))
