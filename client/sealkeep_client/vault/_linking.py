"""This device as a new one of an account, let in by an old one (spec §10).

The home is made first, and held from the moment on in which the device's keys may enter a roster: whatever happens
then, the next attempt offers the same keys, so that no roster has a device whose keys are lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sealkeep_client.engine import Account, Action, ReadRoster, ReadWraps
from sealkeep_client.engine.pairing import (
    Declined,
    PairingAction,
    SaveEnrolment,
    SaveOffer,
    ShowWords,
    SpentError,
    ask_to_join,
    join,
)
from sealkeep_client.store import Store, Unlock, is_held
from sealkeep_client.transport import Credentials, HttpMailbox, HttpRelay
from sealkeep_client.vault._core import Sources
from sealkeep_client.vault._driver import StoreThread
from sealkeep_client.vault._mailbox import Mailbox
from sealkeep_client.vault._membership import write_membership
from sealkeep_client.vault._steps import carry
from sealkeep_client.vault._types import LinkCode
from sealkeep_client.vault._words import code_words
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import AuthenticationError, PairingError, RefusedError, StoreError, UsageError
from sealkeep_protocol.keys import PrivateKeys
from sealkeep_protocol.mailboxes import PASS_SIZE
from sealkeep_protocol.pairing import Enrolment, NewDevice, PairingCode
from sealkeep_protocol.primitives import KEY_SIZE
from sealkeep_protocol.roster import Signer
from sealkeep_protocol.types import AccountId, DeviceId, ObjectId

_STATE: Final = "linking"
_LIMIT: Final = 1 << 16
_NO_MAILBOXES: Final = "devices cannot pair through this relay: join with the recovery kit, `sealkeep recover`"
_OTHER_RELAY: Final = "this is not the relay at which this device has begun to join an account"


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a device knows of itself before it has joined; `account` and `enrolment` as far as it was told."""

    signing: bytes = field(repr=False)
    kem: bytes = field(repr=False)
    relay: str
    identity: bytes | None = None
    account: AccountId | None = None
    enrolment: Enrolment | None = None

    @property
    def keys(self) -> PrivateKeys:
        return PrivateKeys(self.signing, self.kem)

    @classmethod
    def load(cls, store: Store) -> _Begun:
        """What an earlier call began. Raises `StoreError` where that was something else."""
        state = store.sync.get(_STATE)
        if state is None:
            raise StoreError(
                "this device has begun to join an account here in another way: go on with the command that began it, or"
                " give another directory with --home"
            )
        signing, kem, relay, identity, account, said = cbor.decode(state, limit=_LIMIT)
        enrolment = None if said is None else Enrolment(DeviceId(said[0]), said[1], ObjectId(said[2]))
        return cls(signing, kem, relay, identity, AccountId(account), enrolment)

    def save(self, store: Store) -> None:
        """Write it all, durably."""
        said = self.enrolment
        listed = None if said is None else [said.device, said.number, said.entry_id]
        state = [self.signing, self.kem, self.relay, self.identity, self.account, listed]
        store.sync.put(_STATE, cbor.encode(state))


class Linking:
    """One attempt to join. `relay` is a URL, needed unless one was begun here before."""

    def __init__(
        self,
        home: Path,
        *,
        relay: str | None,
        unlock: Unlock,
        name: str,
        on_code: Callable[[LinkCode], None],
        on_words: Callable[[tuple[str, ...]], None],
        thread: StoreThread,
        sources: Sources,
    ) -> None:
        self._home = home
        self._url = relay
        self._unlock = unlock
        self._name = name
        self._on_code = on_code
        self._on_words = on_words
        self._thread = thread
        self._sources = sources

    async def run(self) -> Store:
        """Join, and return the home that is complete. Raises `PairingError`, and all that reading a roster raises."""
        store, begun = await self._begin()
        line = HttpRelay(begun.relay, now=time.monotonic)
        try:
            if begun.enrolment is None:
                begun = await self._pair(store, line, begun)
            account, entries = await self._join(store, line, begun)
        finally:
            await line.close()
        await self._thread.run(_complete, store, begun, account, entries)
        return store

    async def _begin(self) -> tuple[Store, _Begun]:
        if await self._thread.run(is_held, self._home):
            store = await self._thread.open(Store.resume, self._home, self._unlock)
            begun = await self._thread.run(_Begun.load, store)
            return store, replace(begun, relay=self._url or begun.relay)
        if self._url is None:
            raise UsageError("a new device must be told its relay")
        store = await self._thread.open(Store.create, self._home, self._unlock)
        random = self._sources.random
        return store, _Begun(random(KEY_SIZE), random(KEY_SIZE), self._url)

    async def _pair(self, store: Store, line: HttpRelay, begun: _Begun) -> _Begun:
        """Show a code, and go through the exchange with whoever is given it."""
        identity = (await line.info()).identity
        if begun.identity not in (None, identity):
            raise AuthenticationError("identity", _OTHER_RELAY)
        random, words = self._sources.random, code_words()
        # PAI-04: "A device MUST draw the secrets of a code, and its pass, afresh for every mailbox, …"
        peer = HttpMailbox(line, random(PASS_SIZE))
        number, seconds = await _make(peer)
        code = PairingCode.draw(number, identity=identity, relay=str(line.url), words=words, random=random)
        device = NewDevice(code, keys=begun.keys, name=self._name, words=words, random=random, account=begun.account)
        mailbox = Mailbox(peer, number, seconds=seconds)
        state = replace(begun, identity=identity, relay=str(line.url))

        async def other(action: PairingAction) -> None:
            nonlocal state
            if isinstance(action, ShowWords):
                self._on_words(action.words)
            elif isinstance(action, SaveOffer):
                state = replace(state, account=action.account)
                await self._thread.run(_hold, store, state)
            elif isinstance(action, Declined) and begun.account is None:  # nobody has these keys
                await self._thread.run(store.release)
            elif isinstance(action, SaveEnrolment):
                state = replace(state, enrolment=action.enrolment)
                await self._thread.run(state.save, store)

        try:
            self._on_code(LinkCode(code.in_words, code.in_full, seconds))
            await mailbox.carry(ask_to_join(device), other)
        finally:
            await mailbox.end()
        return state

    async def _join(self, store: Store, line: HttpRelay, begun: _Begun) -> tuple[Account, list[bytes]]:
        account, identity, enrolment = begun.account, begun.identity, begun.enrolment
        if account is None or identity is None or enrolment is None:
            raise StoreError("what was begun here is damaged: begin anew in another directory")
        keys = begun.keys
        line.use(Credentials(account, Signer.device(enrolment.device), keys.signing, identity))

        async def do(action: Action) -> Any:
            match action:
                case ReadRoster():
                    return await line.roster(account, action.first)
                case ReadWraps():
                    return await line.wraps()
            raise TypeError(f"no action of a new device: {type(action).__name__}")

        try:
            return await carry(join(account, identity, keys, enrolment), do)
        except SpentError:
            await self._thread.run(store.release)
            raise


async def _make(peer: HttpMailbox) -> tuple[int, int]:
    try:
        return await peer.make()
    except RefusedError as error:
        if error.code != "not-found":
            raise
        raise PairingError(_NO_MAILBOXES) from error


def _hold(store: Store, begun: _Begun) -> None:
    begun.save(store)
    store.hold()


def _complete(store: Store, begun: _Begun, account: Account, entries: Sequence[bytes]) -> None:
    """Make the home one that opens: all that a device has which has joined and not synced yet."""
    with store.transaction():
        write_membership(
            store,
            device=account.device,
            seeds=(begun.signing, begun.kem),
            identity=account.identity,
            relay=begun.relay,
            entries=entries,
            epochs={number: keys.secret for number, keys in account.epochs.items()},
        )
        store.sync.put(_STATE, None)
    store.publish()
