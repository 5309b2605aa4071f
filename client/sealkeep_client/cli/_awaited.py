"""Saying that not all records are here yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealkeep_client.cli._output import count, say, size

if TYPE_CHECKING:
    from sealkeep_client.vault import Chat, Status, Vault


def awaited_text(status: Status) -> str:
    """What has still to come, and how it does."""
    return (
        f"about {count(status.awaited_records, 'record')} ({size(status.awaited_bytes)}); `sealkeep sync` fetches them"
    )


async def warn_awaited(vault: Vault) -> None:
    """Say on standard error, where it is so, that what was shown is not all."""
    status = await vault.status()
    if status.awaited:
        say(f"not everything is here yet, the newest is: still to come are {awaited_text(status)}")


def warn_awaited_of(chat: Chat) -> None:
    """The same of one chat."""
    if chat.awaited:
        say("more of this chat is on its way, the newest is here: `sealkeep sync` fetches the rest")
