"""The closed list of a relay's problem codes, held against spec §9.1."""

from __future__ import annotations

import re
from pathlib import Path

from sealkeep_protocol.problems import PROBLEMS, TYPE_PREFIX

SPEC = Path(__file__).parents[3] / "spec" / "09-errors.md"


def test_codes_and_statuses_are_those_of_the_spec() -> None:
    text = SPEC.read_text(encoding="utf-8").split("## 9.2")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", text, re.MULTILINE)
    assert listed == [(code, str(problem.status)) for code, problem in PROBLEMS.items()]
    assert f"`{TYPE_PREFIX}{{code}}`" in text


def test_titles_are_one_sentence_each() -> None:
    titles = [problem.title for problem in PROBLEMS.values()]
    assert len(set(titles)) == len(titles)
    assert all(re.fullmatch(r"[A-Z][^.]+\.", title) for title in titles)


def test_only_what_a_wait_may_mend_is_retryable() -> None:
    assert {code for code, problem in PROBLEMS.items() if problem.retryable} == {
        "timeout",
        "busy",
        "internal",
        "unavailable",
    }
