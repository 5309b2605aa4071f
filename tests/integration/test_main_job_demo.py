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


def start(base: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it with a temporary directory of its own."""
    base.mkdir()
    return subprocess.Popen(
        [sys.executable, str(DEMO), *arguments],
        env={**os.environ, "TMPDIR": str(base)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], base: Path, seconds: float = SECONDS) -> str:
    """What it said. Nothing of it may be left in its directory, or running."""
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert list(base.iterdir()) == []
    assert running(base) == []
    return said


def running(base: Path) -> list[str]:
    """Processes that have to do with a directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(base) in words and process.pid != os.getpid():
            found.append(words)
    return found


def test_the_demo(tmp_path: Path) -> None:
    """On the export that it writes itself, and on a small one of a person's own."""
    write_telegram(tmp_path / "mine.json", 160)
    first = start(tmp_path / "first")
    second = start(tmp_path / "second", "--export", str(tmp_path / "mine.json"))
    try:
        said = ended(first, tmp_path / "first")
        for line in (
            "2,000 new messages from 1 export.",
            "The two exports are identical.",
            "The laptop has refused it, and keeps what it has.",
        ):
            assert line in said
        assert "device 1, seq " in said
        commands = [line.split()[4] for line in said.splitlines() if line.startswith("$ sealkeep --home")]
        assert commands[:5] == ["init", "import", "sync", "chats", "recover"]
        said = ended(second, tmp_path / "second")
        assert "160 new messages from 1 export." in said
        assert "The two exports are identical." in said
    finally:
        second.kill()


@pytest.mark.long
@pytest.mark.parametrize("part", ["telegram", "wechat", "whatsapp"])
def test_the_demo_on_real_chats(data_dir: Path, tmp_path: Path, part: str) -> None:
    process = start(tmp_path / "demo", "--export", str(data_dir / part))
    assert "The two exports are identical." in ended(process, tmp_path / "demo", 300)
