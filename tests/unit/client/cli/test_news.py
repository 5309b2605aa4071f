"""What is told of devices and kits that came or went, and of keys that are missing: who, and what to do."""

from __future__ import annotations

from dataclasses import replace

from sealkeep_client.cli._kit import _shortcomings
from sealkeep_client.cli._missing import missing_lines
from sealkeep_client.cli._news import news_lines
from sealkeep_client.vault import KitReport, MissingKey, RosterChange

BY_PHONE = RosterChange(7, bytes(32), "change", None, "phone", bytes(32), 3, device=1)
BY_KIT = replace(BY_PHONE, signed_by="recovery kit 0", device=None)
REPORT = KitReport(0, 3, (2,), 1, (), True, True, None, None)
ACTIVE, GONE = (1, "phone", True), (2, "laptop", False)


def test_a_line_for_each_that_came_or_went() -> None:
    change = replace(BY_PHONE, added=((3, "a"), (4, "b")), removed=((2, "c"), (5, "d")), lowered=(5,), kit=1)
    assert news_lines([change]) == [
        "“a” (device 3) came into the account, by “phone” (device 1): if that was not you, `sealkeep remove 3`",
        "“b” (device 4) came into the account, by “phone” (device 1): if that was not you, `sealkeep remove 4`",
        "“c” (device 2) was removed, by “phone” (device 1): if that was not you, `sealkeep remove 1 --with FILE`, with the"
        " kit that you have",
        "recovery kit 1 was made, by “phone” (device 1), and older ones open nothing written since: if that was not you,"
        " `sealkeep remove 1 --with FILE`, with the kit that you have",
    ]


def test_who_has_the_kit_or_a_copy_of_this_device_is_thrown_out_by_a_reclaim() -> None:
    [kit] = news_lines([replace(BY_KIT, removed=((2, "c"),))])
    assert (
        "by recovery kit 0: if that was not you, somebody has your recovery kit: `sealkeep --home NEWDIR recover" in kit
    )
    [copy] = news_lines([replace(BY_PHONE, this=True, kit=2)])
    assert "somebody has a copy of this device: `sealkeep --home NEWDIR recover --remove-others`" in copy


def test_one_wording_for_keys_that_are_missing() -> None:
    """SEG-23"""
    [line] = missing_lines([MissingKey(2, 1, (ACTIVE, GONE)), MissingKey(3, 2, (ACTIVE, GONE))])
    assert line == (
        "3 segments cannot be read, for want of keys 2, 3 of the account, which neither this device nor its recovery kit"
        " was given; they come back when one that was given it has synced: “phone” (device 1)"
    )
    [line] = missing_lines([MissingKey(2, 1, (GONE,))])
    assert line.endswith("“laptop” (device 2). What one of yours shows, `sealkeep export` there saves")
    assert missing_lines([MissingKey(2, 1, ())])[0].endswith("no device was given it")


def test_a_kit_is_not_said_to_be_mended_by_what_nobody_can_do() -> None:
    """A rotation helps where a device is left that reads what the kit does not."""
    for devices, can in (((ACTIVE, GONE), True), ((GONE,), False)):
        keys = (MissingKey(2, 1, devices),)
        opens, line = _shortcomings(replace(REPORT, missing_keys=keys, spoilt_by=("laptop",)))
        assert opens.startswith("the kit opens 2 of 3 keys; 1 segment was written under the others")
        assert ("`sealkeep rotate`" in line) == can
        assert can or line == missing_lines(keys)[0]
    assert _shortcomings(replace(REPORT, missing_keys=keys))[1:] == missing_lines(keys)
