"""`Vault.link` and `Vault.accept` on a real relay: two vaults come together, whatever breaks off in between."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from sealkeep_client.store import Store, is_held, is_home, unlock_method
from sealkeep_client.transport import HttpMailbox, HttpRelay
from sealkeep_client.vault import LinkCode, Newcomer, SyncVault, Text, Vault, _mailbox
from sealkeep_client.vault._mailbox import Mailbox
from sealkeep_client.vault._words import code_words
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import (
    AuthenticationError,
    PairingError,
    RefusedError,
    StoreError,
    TransportError,
    UsageError,
)
from sealkeep_protocol.pairing import PairingCode
from sealkeep_protocol.roster import Removal, compose_change
from sealkeep_server.app import Listening, running
from sealkeep_server.settings import Settings
from support.proxy import Proxy
from support.vaults import UNLOCK, created

DEADLINE = 30


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Listening]:
    async with running(
        tmp_path / "relay", "127.0.0.1", 0, Settings(mailbox_tries=1000, mailbox_network_tries=1000)
    ) as listening:
        yield listening


@pytest.fixture
async def phone(tmp_path: Path, relay: Listening) -> AsyncIterator[Vault]:
    """A device with a chat on the relay."""
    async with created(tmp_path / "phone", relay.url) as (vault, _):
        await vault.append(await vault.conversation("telegram:user:42"), Text("hi"))
        await vault.sync()
        yield vault


class Newer:
    """A device that wants to join; `link` begins, and gives the code once it is shown."""

    def __init__(self, home: Path, url: str | None, name: str = "laptop") -> None:
        self.home = home
        self.url = url
        self.name = name
        self.words: tuple[str, ...] = ()
        self.task: asyncio.Task[Vault] | None = None

    async def link(self, **options: Any) -> LinkCode:
        shown: asyncio.Future[LinkCode] = asyncio.get_running_loop().create_future()
        options = {"relay": self.url, "unlock": UNLOCK, "name": self.name, "worker": False, **options}
        self.task = asyncio.create_task(Vault.link(self.home, on_code=shown.set_result, on_words=self._show, **options))
        await asyncio.wait({self.task, shown}, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if not shown.done():
            await self.task
        return await shown

    def _show(self, words: tuple[str, ...]) -> None:
        self.words = words

    async def outcome(self) -> Vault | BaseException:
        assert self.task is not None
        async with asyncio.timeout(DEADLINE):
            [outcome] = await asyncio.gather(self.task, return_exceptions=True)
        return outcome

    async def joined(self) -> Vault:
        outcome = await self.outcome()
        assert isinstance(outcome, Vault), outcome
        return outcome

    async def failed(self, kind: type[BaseException], said: str) -> None:
        outcome = await self.outcome()
        assert isinstance(outcome, kind), outcome
        assert said in str(outcome)


@pytest.fixture
def laptop(tmp_path: Path, relay: Listening) -> Newer:
    return Newer(tmp_path / "laptop", relay.url)


def answering(answer: bool, asked: list[Newcomer] | None = None) -> Callable[[Newcomer], Awaitable[bool]]:
    async def confirm(newcomer: Newcomer) -> bool:
        if asked is not None:
            asked.append(newcomer)
        return answer

    return confirm


async def accept(vault: Vault, code: LinkCode, answer: bool = True, *, full: bool = False) -> int:
    """The number of the device that was let in."""
    async with asyncio.timeout(DEADLINE):
        return (await vault.accept(code.full if full else code.words, confirm=answering(answer))).device


async def is_whole(vault: Vault) -> None:
    """The new device syncs at once, receives everything, and can be read by the others."""
    summary = await vault.sync()
    assert summary.received == 2
    [chat] = await vault.conversations()
    await vault.append(chat, Text("hello from the new one"))
    assert (await vault.sync()).sent == 1
    await vault.verify()


@pytest.mark.parametrize("full", [False, True], ids=["words", "full"])
async def test_a_device_is_let_in(phone: Vault, laptop: Newer, full: bool) -> None:
    code = await laptop.link()
    assert code.seconds == 600
    asked: list[Newcomer] = []
    linked = await phone.accept(code.full if full else code.words, confirm=answering(True, asked))
    assert (linked.device, linked.name) == (2, "laptop")
    async with await laptop.joined() as vault:
        assert [(newcomer.name, newcomer.words) for newcomer in asked] == [("laptop", laptop.words)]
        await is_whole(vault)
        status = await vault.status()
        assert (status.device, status.device_name, status.devices) == (2, "laptop", 2)
        assert not is_held(laptop.home)
    assert (await phone.sync()).received == 1
    async with await Vault.open(laptop.home, unlock=UNLOCK, worker=False) as vault:
        assert (await vault.status()).messages == 2
    assert repr(code) == "LinkCode(seconds=600)"


async def test_two_devices_are_let_in_at_once(tmp_path: Path, phone: Vault, laptop: Newer, relay: Listening) -> None:
    """By one vault, and by two: the entries are rebased on each other."""
    tablet, desktop = Newer(tmp_path / "tablet", relay.url, "tablet"), Newer(tmp_path / "desktop", relay.url, "desktop")
    first = await laptop.link()
    await accept(phone, first)
    async with await laptop.joined() as second:
        codes = [await tablet.link(), await desktop.link()]
        numbers = await asyncio.gather(accept(phone, codes[0]), accept(second, codes[1]))
        assert sorted(numbers) == [3, 4]
        for newer in (tablet, desktop):
            async with await newer.joined() as vault:
                await vault.sync()
                assert (await vault.status()).devices == 4


async def test_a_sync_and_an_import_go_on_meanwhile(phone: Vault, laptop: Newer) -> None:
    code = await laptop.link()

    async def confirm(newcomer: Newcomer) -> bool:
        await phone.sync()
        return True

    async with phone.background_sync(interval=0.01):
        await phone.accept(code.words, confirm=confirm)
    async with await laptop.joined() as vault:
        await is_whole(vault)


# No


async def test_a_wrong_code_is_used_up_by_one_try(phone: Vault, laptop: Newer) -> None:
    """PAI-02, PAI-04, PAI-08: on both sides, and one clear line for the second try."""
    code = await laptop.link()
    number, *words = code.words.split("-")
    wrong = "-".join([number, *words[:2], "zoo" if words[2] != "zoo" else "zone"])
    with pytest.raises(PairingError, match="the code is wrong"):
        await phone.accept(wrong, confirm=answering(True))
    await laptop.failed(PairingError, "the other device ended the pairing")
    for again in (code.words, wrong, code.full):
        with pytest.raises(PairingError, match="this code has been used"):
            await phone.accept(again, confirm=answering(True))
    assert not is_home(laptop.home)
    assert not is_held(laptop.home)
    await accept(phone, await laptop.link())
    async with await laptop.joined() as vault:
        await is_whole(vault)


async def test_a_no_changes_nothing(phone: Vault, laptop: Newer) -> None:
    """PAI-10, PAI-11: and the new device lets go of keys that nobody has."""
    code = await laptop.link()
    with pytest.raises(PairingError, match="was not let in"):
        await accept(phone, code, False)
    await laptop.failed(PairingError, "answered no")
    await phone.sync()
    assert (await phone.status()).devices == 1
    assert not is_held(laptop.home)
    async with created(laptop.home, laptop.url or "") as (vault, _):
        assert (await vault.status()).device == 1


async def test_a_question_that_fails_is_no_yes(phone: Vault, laptop: Newer) -> None:
    """PAI-10"""
    code = await laptop.link()

    async def confirm(newcomer: Newcomer) -> bool:
        raise UsageError("nobody is here")

    with pytest.raises(UsageError, match="nobody is here"):
        await phone.accept(code.words, confirm=confirm)
    await laptop.failed(PairingError, "the other device ended the pairing")
    await phone.sync()
    assert (await phone.status()).devices == 1
    assert is_held(laptop.home)


async def test_a_device_that_holds_no_key_does_not_use_the_code_up(phone: Vault, laptop: Newer) -> None:
    """ROS-22: it could not write the entry."""
    code = await laptop.link()
    local = phone._core.local
    whole = local.account
    local.account = replace(whole, epochs=MappingProxyType({}))
    with pytest.raises(PairingError, match="it is not used up"):
        await accept(phone, code)
    local.account = whole
    await accept(phone, code)
    async with await laptop.joined() as vault:
        await is_whole(vault)


async def test_codes_that_lead_nowhere(phone: Vault, laptop: Newer, relay: Listening) -> None:
    """PAI-05: of another relay; a mistyped word or number."""
    with pytest.raises(PairingError, match="no device waits under this code"):
        await phone.accept("99999-guitar-lemon-zebra", confirm=answering(True))
    with pytest.raises(UsageError, match="did you mean `lemon`"):
        await phone.accept("7-guitar-lemmon-zebra", confirm=answering(True))
    elsewhere = PairingCode.draw(
        7, identity=bytes(32), relay="https://x.example", words=code_words(), random=lambda size: bytes(size)
    )
    with pytest.raises(UsageError, match="another relay"):
        await phone.accept(elsewhere.in_full, confirm=answering(True))


async def test_a_relay_in_the_middle_is_found(phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch) -> None:
    """PAI-07, §10.3: it has the new device take it for another identity, and hands everything on."""
    info = HttpRelay.info

    async def other(self: HttpRelay) -> Any:
        said = await info(self)
        return type(said)(bytes([7]) * 32, said.incarnation, said.limits)

    monkeypatch.setattr(HttpRelay, "info", other)
    code = await laptop.link()
    with pytest.raises(PairingError, match="the code is wrong"):
        await accept(phone, code)
    await laptop.failed(PairingError, "ended")
    with pytest.raises(UsageError, match="another relay"):
        await accept(phone, await laptop.link(), full=True)
    assert laptop.task is not None
    laptop.task.cancel()
    assert isinstance(await laptop.outcome(), asyncio.CancelledError)


async def test_a_device_without_a_relay_or_in_a_home_that_is_taken(tmp_path: Path, phone: Vault, laptop: Newer) -> None:
    with pytest.raises(UsageError, match="must be told its relay"):
        await laptop.link(relay=None)
    with pytest.raises(StoreError, match="another process has this home open"):
        await Newer(tmp_path / "phone", laptop.url).link()
    with pytest.raises(UsageError, match="1 to 64 bytes"):
        await laptop.link(name="x" * 65)
    with pytest.raises(TransportError):
        await laptop.link(relay="http://127.0.0.1:1")


async def test_a_relay_without_mailboxes(laptop: Newer, monkeypatch: pytest.MonkeyPatch) -> None:
    for code, kind, said in (("not-found", PairingError, "recovery kit"), ("busy", RefusedError, "busy")):

        async def refuse(self: HttpMailbox, code: str = code) -> Any:
            raise RefusedError(code, code, status=404)

        monkeypatch.setattr(HttpMailbox, "make", refuse)
        with pytest.raises(kind, match=said):
            await laptop.link()


# Whoever dies, at whatever point


class Died(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class Death:
    """At a call: before it, or after it was carried out. Nothing more is said then, not even to the mailbox."""

    where: type
    method: str
    place: int | None = None  # of the message
    after: bool = False
    device: int | None = None  # which one calls

    @contextlib.contextmanager
    def comes(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        real, end = getattr(self.where, self.method), Mailbox.end
        dead = False

        async def call(caller: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal dead
            if (self.place is not None and arguments[1] != self.place) or (
                self.device is not None and caller._credentials.signer.number != self.device
            ):
                return await real(caller, *arguments, **options)
            result = await real(caller, *arguments, **options) if self.after else None
            dead = True
            raise Died(result)

        async def end_alive(mailbox: Mailbox) -> None:
            if not dead:
                await end(mailbox)

        with monkeypatch.context() as patch:
            patch.setattr(self.where, self.method, call)
            patch.setattr(Mailbox, "end", end_alive)
            yield


async def ends(task: asyncio.Task[Any]) -> None:
    """Whatever becomes of it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


BEFORE_IT_KNOWS = [
    pytest.param(Death(HttpMailbox, "put", 4), id="before message 4"),
    pytest.param(Death(HttpMailbox, "put", 4, after=True), id="after message 4"),
    pytest.param(Death(HttpMailbox, "get", 5), id="before message 5"),
    pytest.param(Death(HttpMailbox, "get", 5, after=True), id="with message 5"),
]


@pytest.mark.parametrize("death", BEFORE_IT_KNOWS)
async def test_a_new_device_that_dies_pairs_again_with_the_same_keys(
    phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch, death: Death
) -> None:
    """PAI-11, PAI-12: no roster has a device whose keys are lost, and none has it twice. PAI-14: not without message 5."""
    with death.comes(monkeypatch):
        code = await laptop.link()
        accepting = asyncio.create_task(accept(phone, code))
        assert isinstance(await laptop.outcome(), Died)
        if death.place == 4 and not death.after:
            await ends(accepting)
        else:
            assert await accepting == 2
    assert is_held(laptop.home)
    assert unlock_method(laptop.home, held=True) == "passphrase"
    with pytest.raises(StoreError, match="go on with the command that began it"):
        await created(laptop.home, laptop.url or "").__aenter__()
    again = Newer(laptop.home, None, "another name")
    assert await accept(phone, await again.link()) == 2
    async with await again.joined() as vault:
        await is_whole(vault)
        assert (await vault.status()).devices == 2
    await phone.sync()
    assert (await phone.status()).devices == 2


@pytest.mark.parametrize("after", [False, True])
async def test_a_new_device_that_dies_while_it_joins_needs_no_code_any_more(
    phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    with Death(HttpRelay, "wraps", device=2, after=after).comes(monkeypatch):
        code = await laptop.link()
        assert await accept(phone, code) == 2
        assert isinstance(await laptop.outcome(), Died)
    assert is_held(laptop.home)
    shown: list[LinkCode] = []
    again = await Vault.link(
        laptop.home,
        relay=None,
        unlock=UNLOCK,
        name="x",
        on_code=shown.append,
        on_words=lambda words: None,
        worker=False,
    )
    async with again as vault:
        await is_whole(vault)
    assert shown == []


OF_THE_OLD = [
    pytest.param(Death(HttpRelay, "append_roster"), id="before the entry"),
    pytest.param(Death(HttpRelay, "append_roster", after=True), id="after the entry"),
    pytest.param(Death(HttpMailbox, "put", 5), id="before message 5"),
    pytest.param(Death(HttpMailbox, "put", 5, after=True), id="after message 5"),
]


@pytest.mark.parametrize("death", OF_THE_OLD)
async def test_an_old_device_that_dies_lets_in_again_what_it_let_in(
    phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch, death: Death
) -> None:
    """PAI-12"""
    with death.comes(monkeypatch):
        code = await laptop.link()
        with pytest.raises(Died):
            await accept(phone, code)
    if death.after and death.place == 5:
        await laptop.joined()
    else:
        assert laptop.task is not None
        await ends(laptop.task)
        assert await accept(phone, await laptop.link()) == 2
    async with await laptop.joined() as vault:
        await is_whole(vault)
        assert (await vault.status()).devices == 2


async def test_a_lost_answer_is_asked_for_again(
    tmp_path: Path, phone: Vault, relay: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request to a mailbox may be repeated; a second's pause between is the only cost."""
    monkeypatch.setattr(_mailbox, "_PAUSE", 0)
    with Proxy(int(relay.url.rsplit(":", 1)[1])) as proxy:
        laptop = Newer(tmp_path / "laptop", proxy.url)
        for method, place in (("GET", "/1"), ("PUT", "/2"), ("GET", "/3"), ("PUT", "/4"), ("GET", "/5")):
            proxy.lose_answer(method, place)
        assert await accept(phone, await laptop.link()) == 2
        async with await laptop.joined() as vault:
            await is_whole(vault)


async def test_the_entry_stands_and_the_new_device_has_not_heard_of_it(
    phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await laptop.link()

    async def confirm(newcomer: Newcomer) -> bool:
        assert laptop.task is not None
        await ends(laptop.task)  # and ends the mailbox
        return True

    with pytest.raises(PairingError, match="has not heard of it"):
        await phone.accept(code.words, confirm=confirm)
    assert await accept(phone, await laptop.link()) == 2
    await (await laptop.joined()).close()


async def test_a_new_device_that_was_removed_before_it_joined(
    phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are of no use any more, and it lets go of them."""
    with Death(HttpRelay, "wraps", device=2).comes(monkeypatch):
        await accept(phone, await laptop.link())
        assert isinstance(await laptop.outcome(), Died)
    await phone.sync()
    await remove(phone, 2)
    with pytest.raises(PairingError, match="was removed from the account before it had joined"):
        await laptop.link(relay=None)
    assert not is_held(laptop.home)
    assert await accept(phone, await laptop.link()) == 3
    await (await laptop.joined()).close()


async def remove(vault: Vault, device: int) -> None:
    """Have a vault's device remove another one, past its public face."""
    core = vault._core
    account = core.local.account
    composed = compose_change(
        account.roster,
        account.signer,
        account.keys.signing,
        list(account.epochs.values()),
        random=core.sources.random,
        removed=[Removal(device, 0, b"", False)],
    )
    await core.relay.append_roster(account.id, account.roster.number, composed.entry, composed.wraps)


async def test_keys_that_were_offered_go_to_no_other_account_or_relay(
    tmp_path: Path, phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAI-11"""
    with Death(HttpMailbox, "put", 4).comes(monkeypatch):
        code = await laptop.link()
        accepting = asyncio.create_task(accept(phone, code))
        assert isinstance(await laptop.outcome(), Died)
        await ends(accepting)
    async with created(tmp_path / "other", laptop.url or "") as (other, _):
        with pytest.raises(PairingError):
            await accept(other, await laptop.link())
        await laptop.failed(PairingError, "begun to join another account")
    async with running(tmp_path / "relay 2", "127.0.0.1", 0, Settings()) as elsewhere:
        with pytest.raises(AuthenticationError) as caught:
            await laptop.link(relay=elsewhere.url)
        assert caught.value.code == "identity"
    assert await accept(phone, await laptop.link()) == 2
    await (await laptop.joined()).close()


@pytest.mark.parametrize("entered", [False, True])
async def test_a_no_to_keys_that_were_offered_before(
    phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch, entered: bool
) -> None:
    """PAI-11: they may be in a roster by then, whatever is answered later: they are kept, and offered again."""
    death = Death(HttpMailbox, "put", 4, after=True) if entered else Death(HttpMailbox, "put", 4)
    with death.comes(monkeypatch):
        code = await laptop.link()
        accepting = asyncio.create_task(accept(phone, code))
        assert isinstance(await laptop.outcome(), Died)
        assert await accepting == 2 if entered else await ends(accepting) is None
    code = await laptop.link()
    with pytest.raises(PairingError, match="was not let in"):
        await accept(phone, code, False)
    await laptop.failed(PairingError, "answered no")
    assert is_held(laptop.home)
    assert await accept(phone, await laptop.link()) == 2
    async with await laptop.joined() as vault:
        await is_whole(vault)
        assert (await vault.status()).devices == 2


async def test_a_damaged_beginning_is_one_clear_line(
    phone: Vault, laptop: Newer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Death(HttpRelay, "wraps", device=2).comes(monkeypatch):
        await accept(phone, await laptop.link())
        assert isinstance(await laptop.outcome(), Died)
    with Store.resume(laptop.home, UNLOCK) as store:
        kept = cbor.decode(store.sync.get("linking") or b"", limit=1 << 16)
        store.sync.put("linking", cbor.encode([*kept[:4], None, kept[5]]))
    with pytest.raises(StoreError, match="what was begun here is damaged"):
        await laptop.link()
    with Store.resume(laptop.home, UNLOCK) as store:
        store.sync.put("linking", None)
    with pytest.raises(StoreError, match="in another way"):
        await laptop.link()


# The mailbox's time


class Silent:
    """A mailbox in which nothing ever comes."""

    asked = 0

    async def get(self, number: int, place: int) -> bytes | None:
        self.asked += 1
        return None

    async def put(self, number: int, place: int, message: bytes) -> None:
        self.asked += 1
        raise TransportError("the relay cannot be reached")

    async def end(self, number: int) -> None:
        raise TransportError("the relay cannot be reached")


async def test_nobody_waits_beyond_the_codes_time() -> None:
    """PAI-04: even for a relay that would keep its mailbox for ever."""
    line = Silent()
    mailbox = Mailbox(line, 7, seconds=0)  # type: ignore[arg-type]
    for soon in (False, True):
        with pytest.raises(PairingError, match="the code's time is over"):
            await mailbox.get(1, soon=soon)
    assert line.asked == 2
    await mailbox.end()  # as well as may be


async def test_a_device_that_is_not_there_is_waited_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mailbox, "_SOON", 0)
    with pytest.raises(PairingError, match="the other device does not answer"):
        await Mailbox(Silent(), 7, seconds=60).get(2, soon=True)  # type: ignore[arg-type]


async def test_a_device_that_does_not_answer_soon_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, with what is left of its minute; and only where no person has a part in the answer."""
    monkeypatch.setattr(_mailbox, "_QUIET", 0.01)
    monkeypatch.setattr(_mailbox, "_PAUSE", 0.03)
    monkeypatch.setattr(_mailbox, "_SOON", 0.05)
    told: list[int] = []
    for soon, expected in ((False, []), (True, [1])):
        mailbox = Mailbox(Silent(), 7, seconds=0.06, on_wait=told.append)  # type: ignore[arg-type]
        with pytest.raises(PairingError):
            await mailbox.get(2, soon=soon)
        await asyncio.sleep(0.02)
        assert told == expected
    monkeypatch.setattr(_mailbox, "_QUIET", 0)
    monkeypatch.setattr(_mailbox, "_SOON", 60)
    with pytest.raises(PairingError):
        await Mailbox(Silent(), 7, seconds=0.01, on_wait=told.append).get(2, soon=True)  # type: ignore[arg-type]
    assert told == [1, 1]  # what is left of the code's time


async def test_who_answers_soon_is_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mailbox, "_QUIET", 0)

    class Quick(Silent):
        async def get(self, number: int, place: int) -> bytes | None:
            return b"at once"

    told: list[int] = []
    assert await Mailbox(Quick(), 7, seconds=60, on_wait=told.append).get(2, soon=True) == b"at once"  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert told == []


async def test_a_relay_that_grants_no_wait_is_not_asked_all_the_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's operator may allow none, and a hostile one answers at once."""
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            raise TimeoutError

    monkeypatch.setattr(_mailbox.asyncio, "sleep", pause)
    line = Silent()
    with pytest.raises(TimeoutError):
        await Mailbox(line, 7, seconds=60).get(1)  # type: ignore[arg-type]
    assert line.asked == 3
    assert all(seconds > 0.5 for seconds in paused)


@pytest.mark.parametrize(("place", "tries"), [(1, 2), (3, 2)])
async def test_a_line_that_stays_broken_is_given_up(monkeypatch: pytest.MonkeyPatch, place: int, tries: int) -> None:
    """The first message once more and no longer: nobody waits for it yet."""
    monkeypatch.setattr(_mailbox, "_PAUSE", 0)
    monkeypatch.setattr(_mailbox, "_PATIENCE", 0)
    line = Silent()
    with pytest.raises(TransportError):
        await Mailbox(line, 7, seconds=60).put(place, b"")  # type: ignore[arg-type]
    assert line.asked == tries


@pytest.mark.parametrize(("place", "asked"), [(1, 1), (3, 2)])
async def test_a_busy_relay_is_asked_again_where_somebody_waits(
    monkeypatch: pytest.MonkeyPatch, place: int, asked: int
) -> None:
    class Busy(Silent):
        async def put(self, number: int, place: int, message: bytes) -> None:
            self.asked += 1
            raise RefusedError("busy", "busy", status=429, retryable=True)

    monkeypatch.setattr(_mailbox, "_PAUSE", 0)
    monkeypatch.setattr(_mailbox, "_PATIENCE", 0)
    line = Busy()
    with pytest.raises(RefusedError):
        await Mailbox(line, 7, seconds=60).put(place, b"")  # type: ignore[arg-type]
    assert line.asked == asked


@pytest.mark.parametrize(
    ("code", "place", "said"),
    [
        ("not-found", 1, "no device waits under this code"),
        ("not-found", 3, "the code's time is over"),
        ("mailbox-used", 1, "this code has been used"),
        ("mailbox-used", 3, "the other device ended the pairing"),
        ("fork", 1, "somebody else tried the code"),
        ("forbidden", 3, "somebody else tried the code"),
        ("gap", 3, "somebody else tried the code"),
    ],
)
async def test_what_a_refusal_means(code: str, place: int, said: str) -> None:
    class Refusing(Silent):
        async def put(self, number: int, place: int, message: bytes) -> None:
            raise RefusedError(code, code, status=404)

    with pytest.raises(PairingError, match=said):
        await Mailbox(Refusing(), 7, seconds=60).put(place, b"")  # type: ignore[arg-type]


async def test_other_refusals_are_themselves() -> None:
    class Refusing(Silent):
        async def get(self, number: int, place: int) -> bytes | None:
            raise RefusedError("invalid", "no", status=422)

    with pytest.raises(RefusedError):
        await Mailbox(Refusing(), 7, seconds=60).get(1)  # type: ignore[arg-type]


# Threads


async def test_both_sides_from_threads(tmp_path: Path, relay: Listening) -> None:
    codes: queue.Queue[LinkCode] = queue.Queue()

    def old() -> int:
        with SyncVault.create(
            tmp_path / "phone", relay=relay.url, unlock=UNLOCK, name="phone", on_kit=lambda kit: None
        ) as vault:
            return vault.accept(codes.get(timeout=DEADLINE).words, confirm=lambda newcomer: True).device

    def new() -> int:
        with SyncVault.link(
            tmp_path / "laptop",
            relay=relay.url,
            unlock=UNLOCK,
            name="laptop",
            on_code=codes.put,
            on_words=lambda words: None,
        ) as vault:
            return vault.status().device

    assert await asyncio.gather(asyncio.to_thread(old), asyncio.to_thread(new)) == [2, 2]
