"""What the README shows runs, word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sealkeep_client import Passphrase, RecoveryKit, Vault
from support.relay import RelayProcess

README = Path(__file__).parents[2] / "README.md"


async def test_the_example_for_app_developers(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if "Vault.open" in block)
    shown: list[Any] = []
    with RelayProcess(tmp_path / "relay") as relay:
        kits: list[RecoveryKit] = []
        home = tmp_path / "home"
        async with await Vault.create(
            home, relay=relay.url, unlock=Passphrase("words"), name="phone", on_kit=kits.append
        ):
            pass
        names: dict[str, Any] = {}
        exec(compile(example, str(README), "exec"), names)  # noqa: S102 (our own README)
        await names["main"](home, lambda: "words", shown.append)
        async with await Vault.recover(
            tmp_path / "second", kit=kits[0], unlock=Passphrase("words"), name="laptop"
        ) as laptop:
            assert (await laptop.sync()).received == 2  # the message and the chat's title
            assert [chat.title for chat in await laptop.conversations()] == ["Ann"]
    assert "hi" in shown
    assert any(getattr(state, "state", None) == "idle" for state in shown)
    assert getattr(shown[-1], "what", None) == "snapshot"


def test_the_commands_of_the_readme_exist() -> None:
    from sealkeep_client.cli import main

    commands = set(re.findall(r"^    (?:\$ )?sealkeep (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert {"init", "import", "sync", "recover", "relay"} <= commands
    for command in sorted(commands):
        assert main([command, "--help"]) == 0
