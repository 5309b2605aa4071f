"""Shows that the tests see every deliberate breakage in this folder, and which test does.

    python tests/mutants/run.py [NAME …] [--seconds N]      (or: make mutants MUTANT=name)

Each patch is applied to a copy of the tree and the tests that it names run there until one fails; two run side by side.
At the end the tests that failed run on a copy without any patch, where all of them must pass. Ends with status 1 where a
mutant survives, does not apply or does not run.
"""

from __future__ import annotations

import argparse
import compileall
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.mutants import PATCHES, ROOT, Mutant, MutantError, mutants

SECONDS: Final = 300  # for one mutant
JOBS: Final = 2
_COPIED: Final = ("protocol", "server", "client", "demo", "spec", "docs", "tests")
_IMPORTED: Final = ("protocol", "server", "client", "tests", "tests/conformance")
_PASSED, _FAILED = 0, 1  # pytest's exit statuses that say something about a mutant


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: the test that failed on it, or what is wrong; and the seconds that it took."""

    mutant: Mutant
    caught_by: str | None
    wrong: str
    seconds: float


class Copy:
    """A copy of the tree that tests run in. Its files are put back after each run."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._noted = tree.with_suffix(".noted")
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    @classmethod
    def make(cls, base: Path, count: int) -> list[Copy]:
        """Copy the tree so many times."""
        trees = [base / f"tree-{number}" for number in range(count)]
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        for folder in _COPIED:
            if (ROOT / folder).is_dir():
                shutil.copytree(ROOT / folder, trees[0] / folder, ignore=ignored)
        for file in (*ROOT.glob("*.toml"), *ROOT.glob("*.md"), ROOT / "Makefile"):
            shutil.copy2(file, trees[0])
        # By hash: a file that is changed and put back within one second may keep its size and time.
        compileall.compile_dir(trees[0], quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        for tree in trees[1:]:
            shutil.copytree(trees[0], tree)
        return [cls(tree) for tree in trees]

    def run(
        self, files: Mapping[str, str], tests: Iterable[str], seconds: float, *, stop: bool
    ) -> tuple[int, list[str]]:
        """Run tests with these files in place of the tree's: pytest's exit status, and the tests that failed.

        Raises `subprocess.TimeoutExpired`.
        """
        self._noted.write_text("")
        try:
            for path, text in files.items():
                (self._tree / path).write_text(text, encoding="utf-8")
            status = self._pytest(files, tests, seconds, stop)
        finally:
            for path in files:
                shutil.copy2(ROOT / path, self._tree / path)
        return status, self._noted.read_text().splitlines()

    def _pytest(self, files: Iterable[str], tests: Iterable[str], seconds: float, stop: bool) -> int:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(self._tree / folder) for folder in _IMPORTED),
            "HYPOTHESIS_PROFILE": "quick",
            "SEALKEEP_TREE": str(self._tree),
            "SEALKEEP_MUTATED": os.pathsep.join(files),
            "SEALKEEP_NOTED": str(self._noted),
        }
        options = ["-q", "-p", "no:cacheprovider", "-p", "support.mutant_session", "--hypothesis-seed=0"]
        if stop:
            options.append("--exitfirst")
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self._tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if self._stopped:  # before it was there to be ended
                _end(process)
            return process.wait(seconds)
        finally:
            self._process = None
            _end(process)

    def stop(self) -> None:
        """End what runs here now, and let nothing more run."""
        self._stopped = True
        if self._process is not None:
            _end(self._process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what a run left behind: on a mutant, tests may hang, and relays outlive them."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def attempt(copy: Copy, mutant: Mutant, seconds: float) -> Outcome:
    """Run the tests of one mutant."""
    began = time.monotonic()
    caught_by, wrong = None, ""
    try:
        status, failed = copy.run(mutant.files(), mutant.tests, seconds, stop=True)
    except MutantError as error:
        wrong = str(error)
    except subprocess.TimeoutExpired:
        wrong = f"no test failed within {seconds:g} s"
    else:
        if status == _FAILED and failed:
            caught_by = failed[0]
        elif status == _PASSED:
            wrong = "SURVIVES: all its tests pass"
        else:
            wrong = f"did not run: pytest ended with status {status}"
    return Outcome(mutant, caught_by, wrong, time.monotonic() - began)


def attempt_all(copies: Sequence[Copy], wanted: Sequence[Mutant], seconds: float, console: Console) -> list[Outcome]:
    """Run the tests of all mutants, as many side by side as there are copies."""
    free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for copy in copies:
        free.put(copy)

    def one(mutant: Mutant) -> Outcome:
        copy = free.get()
        try:
            outcome = attempt(copy, mutant, seconds)
        finally:
            free.put(copy)
        console.print(f"{'caught' if outcome.caught_by else 'WRONG '} {mutant.name} ({outcome.seconds:.1f} s)")
        return outcome

    with ThreadPoolExecutor(len(copies)) as pool:
        try:
            return list(pool.map(one, wanted))
        except BaseException:  # whoever stops this, stops what it runs
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.stop()
            raise


def fails_anyway(copy: Copy, outcomes: Iterable[Outcome], seconds: float) -> list[str]:
    """The tests among those that caught something which fail on the tree as it is, and so prove nothing."""
    tests = sorted({outcome.caught_by for outcome in outcomes if outcome.caught_by})
    if not tests:
        return []
    try:
        status, failed = copy.run({}, tests, seconds, stop=False)
    except subprocess.TimeoutExpired:
        return [f"the {len(tests)} tests together take more than {seconds:g} s"]
    return failed if status in (_PASSED, _FAILED) else [f"pytest ended with status {status}"]


def table(outcomes: Iterable[Outcome]) -> Table:
    shown = Table(show_lines=False, pad_edge=False, padding=(0, 1))
    shown.add_column("mutant", no_wrap=True)
    shown.add_column("what it breaks", ratio=2, overflow="fold")
    shown.add_column("caught by", ratio=3, overflow="fold")
    shown.add_column("s", justify="right", no_wrap=True)
    for outcome in outcomes:
        mutant = outcome.mutant
        breaks = f"{', '.join(mutant.breaks)}: {mutant.sentence}"
        by = (outcome.caught_by or outcome.wrong).replace("[", r"\[")
        shown.add_row(mutant.name, breaks, by, f"{outcome.seconds:.1f}", style=None if outcome.caught_by else "red")
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description="Show that the tests see every deliberate breakage.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants, without .patch; all where none is named")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for one mutant, at most ({SECONDS})")
    parser.add_argument("--patches", type=Path, default=PATCHES, metavar="DIR", help="another folder of patches")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    try:
        wanted = mutants(arguments.names, folder=arguments.patches)
    except MutantError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the copies go, too
    with tempfile.TemporaryDirectory(prefix="sealkeep-mutants-") as base:
        copies = Copy.make(Path(base), JOBS)
        outcomes = attempt_all(copies, wanted, arguments.seconds, console)
        anyway = fails_anyway(copies[0], outcomes, 2 * arguments.seconds)
    console.print(table(outcomes))
    caught = sum(outcome.caught_by is not None for outcome in outcomes)
    console.print(f"{caught} of {len(outcomes)} mutants are caught.")
    for test in anyway:
        console.print(f"fails without any mutant, and proves nothing: {test}", markup=False)
    return 0 if caught == len(outcomes) and not anyway else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
