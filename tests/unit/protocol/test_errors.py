"""The error tree, held against spec §9.2."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from sealkeep_protocol import errors
from sealkeep_protocol.errors import (
    AuthenticationError,
    HistoryError,
    MalformedError,
    PairingError,
    PeerError,
    RefusedError,
    SealkeepError,
    SourceError,
    StoreError,
    TransportError,
    UsageError,
)
from sealkeep_protocol.sealing import open_alone
from support.accounts import MadeAccount, flipped

SPEC = Path(__file__).parents[3] / "spec" / "09-errors.md"
FAMILIES: dict[str, type[PeerError]] = {
    "malformed": MalformedError,
    "authentication": AuthenticationError,
    "history": HistoryError,
}

EXAMPLES: list[SealkeepError] = [
    UsageError("no"),
    MalformedError("too-large", "much", device=3),
    AuthenticationError("signature", "wrong"),
    HistoryError("fork", "other", device=3, seq=7),
    PairingError("wrong code"),
    RefusedError("quota", "full", status=507, retryable=True),
    TransportError("cut"),
    StoreError("locked"),
    SourceError("no chat", path="a.txt", line=3),
]


def test_the_codes_are_those_of_the_spec() -> None:
    """ERR-02: what a client reports is a code of this list."""
    text = SPEC.read_text(encoding="utf-8").split("## 9.2")[1]
    listed: dict[str, set[str]] = {}
    for codes, family in re.findall(r"^\| (`.+?) \| (malformed|authentication|history) \|", text, re.MULTILINE):
        listed.setdefault(family, set()).update(re.findall(r"`([a-z-]+)`", codes))
    assert listed == {name: set(family.codes) for name, family in FAMILIES.items()}
    assert issubclass(PeerError, SealkeepError)


def test_a_code_belongs_to_its_family() -> None:
    for family, code in ((MalformedError, "fork"), (HistoryError, "signature"), (AuthenticationError, "?")):
        with pytest.raises(ValueError, match="is not a code of"):
            family(code, "message")
    with pytest.raises(ValueError, match="is not a code of"):
        PeerError("malformed", "message")


def test_errors_say_where() -> None:
    assert str(HistoryError("fork", "why")) == "why"
    assert str(HistoryError("fork", "why", device=3)) == "device 3: why"
    assert str(HistoryError("fork", "why", seq=7)) == "seq 7: why"
    assert str(HistoryError("fork", "why", device=3, seq=7)) == "device 3, seq 7: why"


def test_a_place_once_known_stays() -> None:
    error = MalformedError("malformed", "why", device=3)
    assert error.at(device=4, seq=7) is error
    assert (error.device, error.seq) == (3, 7)
    error.at(device=5, seq=8)
    assert (error.device, error.seq) == (3, 7)
    assert MalformedError("malformed", "why").at().device is None


def test_what_may_succeed_later() -> None:
    assert [error.retryable for error in EXAMPLES] == [False, False, False, False, False, True, True, False, False]
    assert not RefusedError("gap", "no", status=409).retryable


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_go_to_another_process_whole(error: SealkeepError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is type(error)
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__)
    defined = [
        item.__name__
        for item in vars(errors).values()
        if isinstance(item, type) and issubclass(item, SealkeepError) and item is not SealkeepError
    ]
    assert drawn == defined


def test_no_error_is_its_own_cause() -> None:
    """Whoever follows causes to their end, as log formatters do, must find one."""
    account = MadeAccount()
    segment = account.seal(1)
    with pytest.raises(PeerError) as caught:
        account.verified(1, type(segment)(segment.seq, segment.header_id, segment.header[:-1], b"", b""))
    seen: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        assert error not in seen
        seen.append(error)
        error = error.__cause__


def test_errors_hold_no_secret_no_plaintext_and_no_input() -> None:
    """ERR-03"""
    account = MadeAccount()
    name = account.roster.devices[1].sealed_name
    key = account.epoch.name_key
    with pytest.raises(AuthenticationError) as caught:
        open_alone(key, "name", [1], flipped(name, 700), binding=b"")
    for shown in (str(caught.value), repr(caught.value), repr(caught.value.args), repr(vars(caught.value))):
        for hidden in (key, name[:32], name[32:64], name[64:]):
            assert hidden.hex()[:8] not in shown
            assert repr(hidden)[2:10] not in shown
