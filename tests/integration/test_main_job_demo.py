"""`make demo` does what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.clients import write_telegram

DEMO = Path(__file__).parents[2] / "demo" / "main_job.py"
SECONDS = 60


def demo(base: Path, *arguments: str, seconds: float = SECONDS) -> str:
    """Run it with a temporary directory of its own; nothing of it may be left there, or running."""
    base.mkdir()
    done = subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        env={**os.environ, "TMPDIR": str(base)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(base.iterdir()) == []
    assert running(base) == []
    return done.stdout


def running(base: Path) -> list[str]:
    """Processes that have to do with a directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(base) in words and process.pid != os.getpid():
            found.append(words)
    return found


def test_the_demo(tmp_path: Path) -> None:
    said = demo(tmp_path / "demo")
    for line in (
        "2,000 new messages from 1 export.",
        "The two exports are identical.",
        "The laptop has refused it, and keeps what it has.",
    ):
        assert line in said
    assert "device 1, seq " in said
    commands = [line.split()[4] for line in said.splitlines() if line.startswith("$ sealkeep --home")]
    assert commands[:6] == ["init", "import", "sync", "chats", "recover", "sync"]


def test_the_demo_on_an_export_of_ones_own(tmp_path: Path) -> None:
    write_telegram(tmp_path / "mine.json", 160)
    said = demo(tmp_path / "demo", "--export", str(tmp_path / "mine.json"))
    assert "160 new messages from 1 export." in said
    assert "The two exports are identical." in said


@pytest.mark.long
@pytest.mark.parametrize("part", ["telegram", "wechat", "whatsapp"])
def test_the_demo_on_real_chats(data_dir: Path, tmp_path: Path, part: str) -> None:
    assert "The two exports are identical." in demo(tmp_path / "demo", "--export", str(data_dir / part), seconds=300)
