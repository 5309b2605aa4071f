"""Whose request it is behind a reverse proxy (spec §10.1, RFC 7239)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from sealkeep_server.http._address import client_address

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8:aa::/48")]
PROXY = "10.0.0.1"


def told(remote: str | None, *lines: tuple[str, str]) -> str | None:
    return client_address(remote, CIMultiDict(lines), TRUSTED)


def x(*values: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", value) for value in values]


def f(*values: str) -> list[tuple[str, str]]:
    return [("forwarded", value) for value in values]


@pytest.mark.parametrize("remote", ["192.0.2.9", "2001:db8::9", "11.0.0.1", None, ""])
def test_nobody_else_is_believed(remote: str | None) -> None:
    """PAI-15"""
    for lines in (x("192.0.2.1"), f("for=192.0.2.1"), []):
        assert told(remote, *lines) == remote
    assert client_address(PROXY, CIMultiDict(x("192.0.2.1")), []) == PROXY


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (x("192.0.2.1"), "192.0.2.1"),
        (x("203.0.113.5, 192.0.2.1"), "192.0.2.1"),  # what the client says itself
        (x("203.0.113.5", "192.0.2.1"), "192.0.2.1"),
        (x("192.0.2.1,10.0.0.2 , 10.9.9.9"), "192.0.2.1"),
        (x("junk, 192.0.2.1"), "192.0.2.1"),
        (x("10.0.0.3, 10.0.0.2"), "10.0.0.3"),  # a client in the proxies' own network
        (x("192.0.2.1:4711"), "192.0.2.1"),
        (x("2001:db8::1"), "2001:db8::1"),
        (x("[2001:db8::1]:4711"), "2001:db8::1"),
        (x("[2001:db8::1]"), "2001:db8::1"),
        (x("::ffff:192.0.2.1"), "192.0.2.1"),
        (x("192.0.2.1, [2001:db8:aa::7]"), "192.0.2.1"),
        (f("for=192.0.2.1"), "192.0.2.1"),
        (f('For="[2001:db8:cafe::17]:4711"'), "2001:db8:cafe::17"),
        (f("proto=https;for=192.0.2.1;by=10.0.0.1"), "192.0.2.1"),
        (f('for=203.0.113.5, for="192.0.2.1:80";proto=http'), "192.0.2.1"),
        (f("for=203.0.113.5", "for=192.0.2.1"), "192.0.2.1"),
        (f("for=192.0.2.1, for=10.0.0.2"), "192.0.2.1"),
        (f(r'for="192\.0.2.1"'), "192.0.2.1"),
        (f('for="a, b", for=192.0.2.1'), "192.0.2.1"),
    ],
)
def test_the_right_most_address_that_is_no_proxys(lines: list[tuple[str, str]], address: str) -> None:
    assert told(PROXY, *lines) == address
    assert told(f"::ffff:{PROXY}", *lines) == address


@pytest.mark.parametrize(
    "lines",
    [
        [],
        x(""),
        x(","),
        x("192.0.2.1,"),
        x("192.0.2.1, unknown"),
        x("192.0.2.300"),
        x("192.0.2.1 192.0.2.2"),
        x("[2001:db8::1"),
        x("192.0.2.1:999999"),
        x("2001:db8::1:4711:1:1:1:1:1"),
        x('"192.0.2.1"'),
        f(""),
        f("192.0.2.1"),
        f("for=192.0.2.1,"),
        f("for=unknown"),
        f("for=_hidden"),
        f("proto=http"),
        f("for = 192.0.2.1"),
        f("for=192.0.2.1;"),
        f("for=2001:db8::1"),
        f('for="2001:db8::1"'),
        f('for="', "for=192.0.2.1"),  # what the client began runs into what the proxy says
        f('for="192.0.2.1'),
        f('for=x"y, for=192.0.2.1'),
        f("for=192.0.2.1;for=192.0.2.2"),
        [*x("192.0.2.1"), *f("for=192.0.2.1")],
        [*f("for=203.0.113.5"), *x("192.0.2.1")],
    ],
)
def test_where_it_cannot_be_told_the_proxy_counts(lines: list[tuple[str, str]]) -> None:
    """PAI-15"""
    assert told(PROXY, *lines) == PROXY


def test_a_hop_that_names_nobody_is_counted_itself() -> None:
    assert told(PROXY, *x("192.0.2.1, unknown, 10.0.0.2")) == "10.0.0.2"


@given(
    st.text(alphabet='for=;,"\\ .:[]_0123456789abx\t', max_size=60), st.sampled_from(["Forwarded", "X-Forwarded-For"])
)
def test_what_the_client_says_itself_changes_nothing(said: str, header: str) -> None:
    """PAI-15: before what the proxy appends there may stand anything; it names the client, or nobody."""
    appended = "192.0.2.1" if header != "Forwarded" else "for=192.0.2.1"
    assert told(PROXY, (header, said), (header, appended)) in ("192.0.2.1", PROXY)
    if header != "Forwarded":
        assert told(PROXY, (header, f"{said}, {appended}")) == "192.0.2.1"
