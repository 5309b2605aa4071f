"""Every MUST of the spec has one id, cited where the code enforces it and where a test tries it; no other id is cited.

A citation in code is a comment that names the id and, where it quotes, quotes the spec:

    # <id>: "<the sentence, or a part of it; … stands for what is left out>"
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
SPEC = sorted((ROOT / "spec").rglob("*.md"))
CODE = [path for package in ("protocol", "server", "client") for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__)]
OTHERS = [*sorted((ROOT / "spec").rglob("*.cddl")), *sorted(ROOT.glob("*.md"))]

DEFINITION = re.compile(r"^- \*\*([A-Z]{3}-\d\d)\*\* (.+(?:\n(?!\s*$|- |#).+)*)", re.MULTILINE)
QUOTATION = re.compile(r'([A-Z]{3}-\d\d): "([^"]*)"')


def one_line(text: str) -> str:
    return " ".join(text.split())


def definitions() -> Iterator[tuple[str, str, str]]:
    """(file, id, sentence) of every MUST."""
    for path in SPEC:
        for identifier, sentence in DEFINITION.findall(path.read_text(encoding="utf-8")):
            yield path.name, identifier, one_line(sentence)


SENTENCES = {identifier: sentence for _, identifier, sentence in definitions()}
# Only ids of the spec's own families: `UTC-05` is none.
CITATION = re.compile(rf"\b(?:{'|'.join(sorted({name[:3] for name in SENTENCES}))})-\d\d\b")


def citations(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Where each id is cited."""
    found: dict[str, set[str]] = {}
    for path in paths:
        for identifier in CITATION.findall(path.read_text(encoding="utf-8")):
            found.setdefault(identifier, set()).add(str(path.relative_to(ROOT)))
    return found


def comments(path: Path) -> Iterator[str]:
    """The comments of a file, those on neighbouring lines as one text."""
    source = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = [(token.start[0], token.string.lstrip("#")) for token in tokens if token.type == tokenize.COMMENT]
    for _, block in groupby(enumerate(lines), key=lambda numbered: numbered[1][0] - numbered[0]):
        yield one_line(" ".join(text for _, (_, text) in block))


def is_quotation(quoted: str, sentence: str) -> bool:
    """Whether the parts between … stand in the sentence, in their order."""
    position = 0
    for part in filter(None, map(str.strip, quoted.split("…"))):
        position = sentence.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return True


def listing(title: str, lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    return [f"{title} ({len(lines)}):", *(f"  {line}" for line in lines)] if lines else []


def test_every_must_has_one_id() -> None:
    seen: dict[str, str] = {}
    wrong = []
    for file, identifier, sentence in definitions():
        if identifier in seen:
            wrong.append(f"{identifier} stands in {seen[identifier]} and in {file}")
        if "MUST" not in sentence:
            wrong.append(f"{identifier} in {file} says no MUST")
        seen[identifier] = file
    assert len(seen) > 60, "the spec's sentences are not found"
    assert not wrong, "\n".join(wrong)


def test_no_must_is_without_an_id() -> None:
    """A MUST outside a numbered sentence binds nobody; the documents about the spec only explain the word."""
    wrong = []
    for path in SPEC:
        if path.name in ("README.md", "decisions.md", "changes.md"):
            continue
        rest = DEFINITION.sub("", path.read_text(encoding="utf-8"))
        wrong += [f"{path.name}: {line.strip()}" for line in rest.splitlines() if re.search(r"\bMUST\b", line)]
    assert not wrong, "\n".join(wrong)


def test_every_must_is_cited_in_code_and_in_a_test_and_every_cited_id_exists() -> None:
    code, tests = citations(CODE), citations(TESTS)
    everywhere = citations([*CODE, *TESTS, *SPEC, *OTHERS])
    wrong = [
        *listing("cited in no code", (f"{name}  {SENTENCES[name]}" for name in sorted(SENTENCES) if name not in code)),
        *listing("cited in no test", (f"{name}  {SENTENCES[name]}" for name in sorted(SENTENCES) if name not in tests)),
        *listing(
            "cited, but not in the spec",
            (f"{name}  in {', '.join(sorted(everywhere[name]))}" for name in sorted(everywhere.keys() - SENTENCES)),
        ),
    ]
    assert not wrong, "\n".join(wrong)


def test_quotations_are_the_specs_words() -> None:
    wrong = []
    quoted = 0
    for path in CODE:
        for comment in comments(path):
            for identifier, quotation in QUOTATION.findall(comment):
                quoted += 1
                sentence = SENTENCES.get(identifier, "")
                if not is_quotation(quotation, sentence):
                    wrong.append(
                        f"{path.relative_to(ROOT)}: {identifier}\n    quoted: {quotation}\n    spec:   {sentence}"
                    )
    assert quoted, "no quotation is found"
    assert not wrong, "\n".join(wrong)
