"""The patches in tests/mutants are in order and fit the tree; how they are read and applied; what a run of them says.

Whether the tests see each of them is what `make mutants` shows: it takes minutes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.mutants import PATCHES, ROOT, Hunk, Mutant, MutantError, mutants, parse

ALL = mutants()
SPEC = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "spec").glob("*.md")))

PATCH = """KEY-05, P11: An opener does not compare the commitment.
Tests: tests/unit/a.py tests/unit/b.py

--- a/protocol/one.py
+++ b/protocol/one.py
@@ -10,4 +10,3 @@
 first

-second
 third
"""


CAUGHT = """KEY-06: A salt of any length is taken.
Tests: tests/unit/protocol/test_sealing.py

--- a/protocol/sealkeep_protocol/sealing.py
+++ b/protocol/sealkeep_protocol/sealing.py
@@ -1,2 +1,2 @@
-    if len(salt) != SALT_SIZE:
+    if len(salt) < 0:
         raise ValueError("a salt is 32 bytes long")
"""


def test_there_are_mutants_of_every_part() -> None:
    assert len(ALL) >= 30
    parts = [path.split("/")[0] for mutant in ALL for path in mutant.hunks]
    assert min(parts.count(part) for part in ("protocol", "client", "server")) >= 10
    assert sum("/engine/" in path for mutant in ALL for path in mutant.hunks) >= 10
    strangers = [path.name for path in PATCHES.iterdir() if path.suffix != ".patch"]
    assert sorted(set(strangers) - {"__pycache__"}) == ["run.py"]


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_mutant_is_small_and_applies_and_says_what_it_breaks(mutant: Mutant) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", mutant.name)
    for broken in mutant.breaks:
        assert re.search(rf"\*\*{broken}\b", SPEC), f"{broken} stands in no document of the spec"
    assert sum(hunk.changed for hunks in mutant.hunks.values() for hunk in hunks) <= 6
    for test in mutant.tests:
        assert (ROOT / test.split("::")[0]).exists(), f"there is no {test}"
    for path, text in mutant.files().items():
        assert path.startswith(("protocol/sealkeep_protocol/", "client/sealkeep_client/", "server/sealkeep_server/"))
        assert text != (ROOT / path).read_text(encoding="utf-8")
        compile(text, path, "exec")


def test_no_two_mutants_are_the_same() -> None:
    assert len({tuple(sorted(mutant.files().items())) for mutant in ALL}) == len(ALL)


def test_a_patch_is_read() -> None:
    mutant = parse("name", PATCH)
    assert (mutant.breaks, mutant.sentence) == (("KEY-05", "P11"), "An opener does not compare the commitment.")
    assert mutant.tests == ("tests/unit/a.py", "tests/unit/b.py")
    hunk = Hunk(("first", "", "second", "third"), ("first", "", "third"))
    assert mutant.hunks == {"protocol/one.py": (hunk,)}
    assert hunk.changed == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("KEY-05, P11: ", "", "its first line"),
        ("commitment.", "commitment", "its first line"),
        ("KEY-05, P11", "KEY5", "its first line"),
        ("-10,4", "-10,5", "as many lines"),
        ("+10,3", "+10,9", "as many lines"),
        ("+++ b/protocol/one.py", "+++ b/protocol/two.py", "line 4"),
        ("--- a/protocol/one.py", "--- /dev/null", "line 4"),
        (" third\n", " third\n third\n", "line 11"),
        (PATCH[PATCH.index("@@") :], "", "changes nothing"),
        (PATCH, "", "its first line"),
        ("Tests: ", "", "names no tests"),
    ],
)
def test_a_patch_that_is_not_in_order_is_refused(before: str, after: str, message: str) -> None:
    assert before in PATCH
    with pytest.raises(MutantError, match=f"^name: .*{message}"):
        parse("name", PATCH.replace(before, after, 1))


def test_a_patch_applies_by_its_lines(tmp_path: Path) -> None:
    """Wherever they stand, where they stand once."""
    (tmp_path / "protocol").mkdir()
    file = tmp_path / "protocol" / "one.py"
    lines = "first\n\nsecond\nthird\n"
    file.write_text(f"zero\n\n{lines}")
    mutant = parse("name", PATCH)
    assert mutant.files(tmp_path) == {"protocol/one.py": "zero\n\nfirst\n\nthird\n"}
    for text, times in ((f"{lines}{lines}", 2), (lines.replace("third", "3"), 0), (lines.replace("second", "s"), 0)):
        file.write_text(text)
        with pytest.raises(MutantError, match=f"stand {times} times in protocol/one.py, not once"):
            mutant.files(tmp_path)
    file.unlink()
    with pytest.raises(MutantError, match=r"there is no protocol/one\.py"):
        mutant.files(tmp_path)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(MutantError, match="no mutant is called nothing-of-the-kind"):
        mutants([ALL[0].name, "nothing-of-the-kind"])


def test_a_run_tells_what_is_caught_from_what_survives(tmp_path: Path) -> None:
    """Only a test that fails on it catches a mutant; one that does not apply or cannot be imported proves nothing."""
    patches = {
        "is-caught": CAUGHT,
        "survives": CAUGHT.replace("if len(salt) < 0:", "if SALT_SIZE != len(salt):"),
        "does-not-apply": CAUGHT.replace("raise ValueError", "raise KeyError"),
        "does-not-run": CAUGHT.replace("if len(salt) < 0:", "if ("),
    }
    for name, text in patches.items():
        (tmp_path / f"{name}.patch").write_text(text)
    done = subprocess.run(
        [sys.executable, str(PATCHES / "run.py"), "--patches", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    said = {name: next(line for line in done.stdout.splitlines() if line.startswith(f"│{name} ")) for name in patches}
    assert "test_sealing.py::test_a_salt_has_32_bytes" in said["is-caught"]
    assert "SURVIVES" in said["survives"]
    assert "stand 0 times" in said["does-not-apply"]
    assert "did not run" in said["does-not-run"]
    assert done.stdout.endswith("1 of 4 mutants are caught.\n")


def test_a_run_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    """No copy, and no test that goes on in one."""
    copies, patches = tmp_path / "copies", tmp_path / "patches"
    copies.mkdir()
    patches.mkdir()
    (patches / "is-caught.patch").write_text(CAUGHT)
    endless = CAUGHT.replace("if len(salt) < 0:", "if all(True for _ in iter(int, 1)):")
    (patches / "runs-for-ever.patch").write_text(endless)
    with subprocess.Popen(
        [sys.executable, "-u", str(PATCHES / "run.py"), "--patches", str(patches)],
        env={**os.environ, "TMPDIR": str(copies)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline().startswith("caught is-caught")
        tests = psutil.Process(run.pid).children(recursive=True)
        assert tests
        run.terminate()
        said = run.stderr.read()
    assert (run.returncode, said) == (128 + signal.SIGTERM, "")
    assert psutil.wait_procs(tests, timeout=30)[1] == []
    assert list(copies.iterdir()) == []


def test_a_run_that_does_not_see_the_copy_is_stopped(tmp_path: Path) -> None:
    """What it proves: the modules that are tested are those of the mutated copy."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests"),
        "SEALKEEP_TREE": str(tmp_path),
        "SEALKEEP_MUTATED": "protocol/sealkeep_protocol/sealing.py",
        "SEALKEEP_NOTED": str(tmp_path / "noted"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "support.mutant_session", str(Path(__file__))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 70
    assert "not from the copy" in done.stdout + done.stderr
