"""The real command in processes of its own, so that it can be killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

DEADLINE = 120.0


class Device:
    """One home and the `sealkeep` commands on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {**os.environ, "SEALKEEP_PASSPHRASE": "test", "COLUMNS": "200"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "sealkeep_client.cli", "--home", str(self.home), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end; it must end with this status. Returns what it printed, on both streams."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
        assert process.returncode == status, (arguments, process.returncode, out, err)
        return out + err

    def killed(self, seconds: float, *arguments: str) -> bool:
        """Run a command and kill it (SIGKILL) after so many seconds; whether that came before its end."""
        process = self.start(*arguments)
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return True
        return False

    def export(self, out: Path) -> bytes:
        self.run("export", str(out), "--format", "jsonl")
        return out.read_bytes()


def write_telegram(path: Path, messages: int, *, seed: int = 1, chats: int = 8) -> set[str]:
    """A Telegram export of so many messages that do not compress well; returns their texts, each once."""
    dice = random.Random(seed)
    texts: set[str] = set()
    listed = []
    for chat in range(1, chats + 1):
        entries = []
        for number in range(1, messages // chats + 1):
            text = f"{dice.getrandbits(160):x} 北京 {chat}-{number}"
            texts.add(text)
            entries.append(
                {
                    "id": number,
                    "type": "message",
                    "date_unixtime": str(1_600_000_000 + 61 * number + chat),
                    "from": f"Friend {chat}",
                    "from_id": f"user{chat}",
                    "text": text,
                }
            )
        listed.append({"name": f"Chat {chat}", "type": "private_supergroup", "id": chat, "messages": entries})
    path.write_text(json.dumps({"chats": {"list": listed}}, ensure_ascii=False), encoding="utf-8")
    return texts
