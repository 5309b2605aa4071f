"""The catalogue of attacks holds together (`sealkeep_conformance.attacks`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealkeep_conformance.attacks import (
    ATTACKS,
    DEED_GROUPS,
    DEEDS,
    GROUPS,
    RELAY,
    STAGES,
    Found,
    Unreadable,
    Unseen,
    devices_of,
    family,
    path_to,
    texts_of,
)
from support.attack_table import ALL_NAMES

SPEC = Path(__file__).parents[3] / "spec"


def test_every_attack_has_a_name_of_its_own() -> None:
    assert len(ATTACKS) == sum(map(len, GROUPS.values()))
    assert len(DEEDS) == sum(map(len, DEED_GROUPS.values()))
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in (*ATTACKS, *DEEDS))
    assert len(ALL_NAMES) == len(set(ALL_NAMES))  # the table's, with those that have tests of their own


def test_stages_lead_to_each_other() -> None:
    for name in STAGES:
        path = path_to(name)
        assert path[0].after is None
        assert path[-1].name == name
        devices = devices_of(name)
        assert len(devices) == len(set(devices))
        steps = [step for stage in path for step in stage.steps]
        assert all(step.device in devices for step in steps if step.do != "put-back")
        assert all(step.device == RELAY and step.text in STAGES for step in steps if step.do == "put-back")
        assert len(texts_of(name)) == len(set(texts_of(name)))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fits_its_stage(name: str) -> None:
    attack = ATTACKS[name]
    joins = attack.act == "recover" or (attack.act == "pair" and attack.victim != "phone")
    assert (attack.victim in devices_of(attack.stage)) != joins
    if isinstance(attack.outcome, Unseen):
        assert set(attack.outcome.lacks) <= set(texts_of(attack.stage))
        assert attack.outcome.lacks


def test_codes_and_families_are_the_specs() -> None:
    """§9.2"""
    text = (SPEC / "09-errors.md").read_text(encoding="utf-8").split("## 9.2")[1]
    said = {
        code: cells[1].strip()
        for line in text.splitlines()
        if len(cells := line.strip("|").split("|")) == 3
        for code in re.findall("`([a-z-]+)`", cells[0])
    }
    assert said
    assert all(family(code) == name for code, name in said.items() if code not in ("relay", "offline"))
    for attack in (*ATTACKS.values(), *DEEDS.values()):
        if isinstance(attack.outcome, Found | Unreadable):
            assert attack.outcome.code in said


def test_what_cannot_be_detected_stands_in_the_threat_model() -> None:
    """§1.4, §1.5: a row that says “nothing as yet” names a section that there is."""
    text = (SPEC / "01-threat-model.md").read_text(encoding="utf-8")
    for attack in (*ATTACKS.values(), *DEEDS.values()):
        if isinstance(attack.outcome, Unseen):
            assert f"\n## {attack.outcome.section} " in text
