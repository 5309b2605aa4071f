"""Answers of a relay, decoded: a wrong one is a broken line or a lie, never an empty result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sealkeep_client.answers import (
    Page,
    PageItem,
    Trailer,
    decode_account,
    decode_appended,
    decode_challenge,
    decode_heads,
    decode_info,
    decode_page_item,
    decode_problem,
    decode_token,
    decode_wrap,
    make_page,
)
from sealkeep_protocol import cbor
from sealkeep_protocol.errors import MalformedError, TransportError
from sealkeep_protocol.problems import PROBLEMS
from support.accounts import refused

ID, INCARNATION = bytes(32), bytes(16)
INFO = {1: [1], 2: [1], 3: ID, 4: INCARNATION, 5: {"page_items": 32}}
HEADS = {1: INCARNATION, 2: 7, 3: [[1, 2, ID], [2, 5, ID]], 4: 10, 5: 0}
ITEM = [1, 5, 2, 3, b"header", b"summary", b"body"]


def encoded(value: dict[int, Any], **changed: Any) -> bytes:
    """The map with other values under `key_N`, or without them (None)."""
    merged = value | {int(name.removeprefix("key_")): changed[name] for name in changed}
    return cbor.encode({key: item for key, item in merged.items() if item is not None})


def test_what_is_right_is_read() -> None:
    info = decode_info(encoded(INFO))
    assert (info.identity, info.incarnation, info.limits) == (ID, INCARNATION, {"page_items": 32})
    heads = decode_heads(encoded(HEADS))
    assert [tuple(head) for head in heads.heads] == [(1, 2, ID), (2, 5, ID)]
    assert (heads.position, heads.used, heads.allowed) == (7, 10, 0)
    assert decode_account(encoded({1: ID})) == ID
    assert decode_token(encoded({1: "abc", 2: 900})) == ("abc", 900)
    assert decode_challenge(cbor.encode(b"challenge")) == b"challenge"
    assert decode_appended(encoded({1: 3, 2: [b"a", b"b"]})).receipts == (b"a", b"b")
    assert decode_wrap([3, 1, b"wrap"]).entry == 3
    assert decode_page_item(ITEM) == PageItem(5, 2, 3, b"header", b"summary", b"body")


def test_keys_of_later_versions_are_overlooked() -> None:
    """ENC-11: in the maps that a relay answers with."""
    assert decode_info(encoded(INFO, key_77=["new"], key_6=["feature"])) == decode_info(encoded(INFO))
    assert decode_heads(encoded(HEADS, key_9=1)) == decode_heads(encoded(HEADS))
    assert decode_token(encoded({1: "abc", 2: 900, 3: 1})) == ("abc", 900)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (decode_info, encoded(INFO, key_3=None)),
        (decode_info, encoded(INFO, key_3=bytes(31))),
        (decode_info, encoded(INFO, key_4=INCARNATION + b"x")),
        (decode_info, encoded(INFO, key_5=[])),
        (decode_info, encoded(INFO, key_5={"items": -1})),
        (decode_info, encoded(INFO, key_1=1)),
        (decode_info, cbor.encode([])),
        (decode_info, b""),
        (decode_info, b"<html>"),
        (decode_account, encoded({1: ID[1:]})),
        (decode_token, encoded({1: "", 2: 1})),
        (decode_token, encoded({1: "a\r\nb", 2: 1})),
        (decode_token, encoded({1: "é", 2: 1})),
        (decode_token, encoded({1: "x" * 5000, 2: 1})),
        (decode_token, encoded({1: b"x", 2: 1})),
        (decode_token, encoded({1: "x", 2: -1})),
        (decode_challenge, cbor.encode("text")),
        (decode_heads, encoded(HEADS, key_3=[[1, 2]])),
        (decode_heads, encoded(HEADS, key_3=[[0, 2, ID]])),
        (decode_heads, encoded(HEADS, key_3=[[1, 0, ID]])),
        (decode_heads, encoded(HEADS, key_3=[[1, 2, b""]])),
        (decode_heads, encoded(HEADS, key_3=[[1, 2, ID], [1, 3, ID]])),
        (decode_heads, encoded(HEADS, key_2=-1)),
        (decode_appended, encoded({1: 1, 2: ["text"]})),
        (decode_appended, encoded({1: 1})),
    ],
)
def test_what_is_wrong_is_malformed(decode: Any, data: bytes) -> None:
    with refused(MalformedError, "malformed"):
        decode(data)


def test_a_relay_of_another_version_is_unsupported() -> None:
    unknown: list[dict[str, Any]] = [{"key_1": [2, 3]}, {"key_2": []}]
    for wrong in unknown:
        with refused(MalformedError, "unsupported"):
            decode_info(encoded(INFO, **wrong))
    assert decode_info(encoded(INFO, key_1=[3, 2, 1])).identity == ID


def test_an_answer_has_a_limit() -> None:
    with refused(MalformedError, "too-large"):
        decode_heads(bytes(2 << 20))


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ([], "malformed"),
        ("text", "malformed"),
        ([2, b"proved by a skip"], "unsupported"),
        ([3, 1, 1, 1], "unsupported"),
        ([True, 5, 2, 3, b"h", b"s", b"b"], "malformed"),
        ([False, 5, False, INCARNATION], "malformed"),
        (ITEM[:-1], "malformed"),
        ([*ITEM, 1], "malformed"),
        ([1, -1, *ITEM[2:]], "malformed"),
        ([1, 5, 0, *ITEM[3:]], "malformed"),
        ([1, 5, 2, 0, *ITEM[4:]], "malformed"),
        ([1, 5, 2, 3, None, b"s", b"b"], "malformed"),
        ([1, 5, 2, 3, b"h", "s", b"b"], "malformed"),
        ([0, 5, 1, INCARNATION], "malformed"),
        ([0, 5, False], "malformed"),
        ([0, 5, False, b""], "malformed"),
        ([0, -5, False, INCARNATION], "malformed"),
    ],
)
def test_a_page_item_of_another_shape(item: Any, code: str) -> None:
    with refused(MalformedError, code):
        decode_page_item(item)


def test_a_page_ends_with_its_trailer() -> None:
    """REL-10: without it, it was cut short; it is never an empty page."""
    item, trailer = decode_page_item(ITEM), Trailer(5, True, INCARNATION)
    assert isinstance(item, PageItem)
    assert make_page([item, trailer]) == Page((item,), 5, True, INCARNATION)
    assert make_page([trailer]).items == ()
    cut: list[list[PageItem | Trailer]] = [[], [item], [trailer, item]]
    for parts in cut:
        with pytest.raises(TransportError, match="cut short"):
            make_page(parts)
    with refused(MalformedError, "malformed"):
        make_page([trailer, item, trailer])


@pytest.mark.parametrize("wrap", [[1, 2], [1, -1, b""], [1, 1, "text"], [-1, 1, b""], 7])
def test_a_wrap_of_another_shape(wrap: Any) -> None:
    with refused(MalformedError, "malformed"):
        decode_wrap(wrap)


# Problems


def problem(code: Any, **members: Any) -> bytes:
    return json.dumps({"type": f"urn:sealkeep:problem:{code}", "code": code, **members}).encode()


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_every_problem_is_read(code: str) -> None:
    """ERR-01, ERR-03: with words of this side; what the relay says in `title` and `detail` is a peer's input."""
    said = problem(code, title="<b>pay here</b>", detail="secret", status=200)
    error = decode_problem(PROBLEMS[code].status, said).error
    assert (error.code, error.status, error.retryable) == (code, PROBLEMS[code].status, PROBLEMS[code].retryable)
    assert "pay" not in str(error)
    assert "secret" not in repr(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("37", 37),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("9" * 40, None),
        ("١٢", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_what_a_busy_relay_asks_to_wait(header: str, seconds: float | None) -> None:
    assert decode_problem(429, problem("busy"), header).error.retry_after == seconds


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (418, False), (499, False), (500, True), (599, True)])
def test_an_unknown_problem_is_final_below_500(status: int, retryable: bool) -> None:
    """ERR-01."""
    answer = decode_problem(status, problem("of-a-later-version", refusal="x"))
    assert (answer.error.code, answer.error.retryable, answer.refusal) == ("unknown", retryable, None)
    assert "later" not in str(answer.error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'"text"',
        b'{"code": "gap"}',
        b'{"type": "about:blank", "code": "gap"}',
        b'{"type": "urn:sealkeep:problem:fork", "code": "gap"}',
        b'{"type": "urn:sealkeep:problem:1", "code": 1}',
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"1" * 60_000,
    ],
)
def test_what_is_no_problem_is_a_broken_line(data: bytes) -> None:
    """ERR-01: retryable, never an empty result."""
    with pytest.raises(TransportError) as caught:
        decode_problem(400, data)
    assert caught.value.retryable
    assert "html" not in str(caught.value)


def test_a_refusal_comes_with_it() -> None:
    assert decode_problem(409, problem("epoch-stale", refusal="abc")).refusal == "abc"
    for wrong in (7, None, ["abc"], "x" * 5000):
        assert decode_problem(409, problem("epoch-stale", refusal=wrong)).refusal is None
