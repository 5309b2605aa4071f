"""What both machines of a pairing have in common: each step once, in order, and none after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sealkeep_protocol import cbor
from sealkeep_protocol.errors import PairingError, PeerError, UsageError
from sealkeep_protocol.pairing._code import CodeKind
from sealkeep_protocol.pairing._exchange import Exchange, PairingKeys, Side
from sealkeep_protocol.pairing._messages import Candidate, open_message, seal_message
from sealkeep_protocol.primitives import equal, mac
from sealkeep_protocol.types import AccountId
from sealkeep_protocol.words import WordList

CONFIRMATION_WORDS: Final = 3
_OVER: Final = 0
_WRONG: Final = "the code is wrong, or somebody else has tried it; it cannot be used again"


class Machine:
    """One side of one pairing at the relay of this identity (32 bytes). `random` gives fresh bytes.

    Methods raise `UsageError` out of their order, and after one has raised.
    """

    _keys: PairingKeys  # from the step on in which both elements are there

    def __init__(self, side: Side, *, identity: bytes, mailbox: int, random: Callable[[int], bytes]) -> None:
        self.mailbox = mailbox
        self._side = side
        self._identity = identity
        self._random = random
        self._next = 1  # the message that is taken or made next
        self._said: list[bytes] = []  # all messages so far

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> str:
        raise TypeError("a pairing is not pickled")

    @contextmanager
    def _step(self, first: int, last: int) -> Iterator[None]:
        """A step over the messages from `first` to `last`."""
        # PAI-04: "… whatever fails in it, it MUST give the code up, end the mailbox, and accept no other message in place
        # of one that it has had."
        if self._next != first:
            raise UsageError("this pairing is over, or has not come to this step: a code serves one exchange")
        self._next = _OVER
        yield
        self._next = last + 1

    def _agree(self, exchange: Exchange, other: bytes, *, kind: CodeKind, commitment: bytes) -> PairingKeys:
        """The keys, once both elements are there. Raises `AuthenticationError`."""
        key = exchange.finish(other)
        elements = [exchange.element, other] if self._side is Side.OLD else [other, exchange.element]
        self._keys = PairingKeys(
            key, identity=self._identity, mailbox=self.mailbox, kind=kind, elements=elements, commitment=commitment
        )
        return self._keys

    def _check_confirmation(self, confirmation: bytes) -> None:
        # PAI-07: "A device MUST compare the other's confirmation in constant time, and MUST refuse a difference before it
        # sends or opens anything sealed."
        if not equal(self._keys.confirmation(self._side.other), confirmation):
            raise PairingError(_WRONG)

    def _seal(self, number: int, plaintext: bytes) -> bytes:
        return seal_message(
            self._keys.sealing_key(self._side),
            self.mailbox,
            number,
            plaintext,
            before=self._said,
            salt=self._random(32),
        )

    def _open(self, number: int, sealed: bytes) -> bytes:
        parent = self._keys.sealing_key(self._side.other)
        return open_message(parent, self.mailbox, number, sealed, before=self._said)

    def _words(self, words: WordList, account: AccountId, nonce: bytes, candidate: Candidate) -> tuple[str, ...]:
        """The confirmation words (§10.6); `nonce` is the old device's."""
        said = [account, nonce, candidate.nonce, candidate.keys.signing, candidate.keys.kem, candidate.name]
        return words.encode(mac(self._keys.words_key, cbor.encode(said)), CONFIRMATION_WORDS)


@contextmanager
def unconfirmed() -> Iterator[None]:
    """Around what is done before the other side has shown that it knows the code."""
    # PAI-08: "A device MUST report what fails before it has the other's confirmation as a failed pairing, and not as a
    # promise that the relay broke: anybody may have put it into the mailbox, or mistyped a code."
    try:
        yield
    except PeerError as error:
        raise PairingError(_WRONG) from error
