"""`chats`, `show` and `search`: reading what is here. None of them needs the relay."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from sealkeep_client.cli._app import App, json_option, pass_app
from sealkeep_client.cli._awaited import warn_awaited, warn_awaited_of
from sealkeep_client.cli._lines import json_lines
from sealkeep_client.cli._messages import Hits, describe, shown_author
from sealkeep_client.cli._output import (
    bold,
    civil,
    clean,
    clean_line,
    columns_of_terminal,
    count,
    cut,
    dim,
    is_terminal,
    pad,
    print_json,
    print_table,
    width,
    wrap,
)

if TYPE_CHECKING:
    from sealkeep_client.vault import Chat, Record, Vault
    from sealkeep_protocol.records import ConversationKey

_APPS = {"telegram": "Telegram", "wechat": "WeChat", "whatsapp": "WhatsApp"}
_ID = 8  # digits of an id that stand for a chat
_PAGE = 500  # messages


@click.command()
@json_option
@pass_app
def chats_command(app: App, as_json: bool) -> None:
    """List the chats, the one with the newest message first."""

    async def load(vault: Vault) -> list[Chat]:
        found = await vault.conversations()
        await warn_awaited(vault)
        return found

    chats = app.with_vault(load)
    if as_json:
        for chat in chats:
            print_json(
                {
                    "type": "conversation",
                    "id": chat.id.hex(),
                    "title": chat.title,
                    **chat.key._asdict(),
                    "messages": chat.messages,
                    "last": None if chat.last is None else civil(chat.last).date().isoformat(),
                    "awaited": chat.awaited,
                }
            )
        return
    if not chats:
        click.echo("No chats yet: `sealkeep import PATH` takes in exports, `sealkeep sync` fetches from your devices.")
        return
    rows = [
        (
            chat.title,
            _APPS.get(chat.key.app, chat.key.app),
            count(chat.messages),
            "" if chat.last is None else f"{civil(chat.last):%Y-%m-%d}",
            chat.id.hex()[:_ID],
        )
        for chat in chats
    ]
    print_table(("Chat", "App", "Messages", "Newest", "Id"), rows, right=(2,))


def _before(_: click.Context, __: click.Parameter, value: str | None) -> datetime.datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("give a date such as 2024-03-05, or a time such as 2024-03-05T14:30") from None
    return moment


@click.command()
@click.argument("chat", metavar="CHAT")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="How many messages."
)
@click.option("--before", callback=_before, metavar="TIME", help="Only what is older: a date, or a date and time.")
@json_option
@pass_app
def show_command(app: App, chat: str, limit: int, before: datetime.datetime | None, as_json: bool) -> None:
    """Show the newest messages of a chat.

    CHAT is its title or a part of it, its id as `sealkeep chats` shows it, or its name such as telegram:user:42.
    """

    async def load(vault: Vault) -> tuple[Chat, list[Record]]:
        chosen = choose(await vault.conversations(), chat)
        pages: list[list[Record]] = []
        missing = limit
        async for page in vault.history(chosen, limit=min(limit, _PAGE)):
            older = [record for record in page if before is None or _is_before(record, before)]
            pages.append(older[-missing:])
            missing -= len(pages[-1])
            if not missing:
                break
        return chosen, [record for page in reversed(pages) for record in page]

    chosen, records = app.with_vault(load)
    if as_json:
        for line in json_lines(records, {chosen.key: chosen}):
            click.echo(line)
        warn_awaited_of(chosen)
        return
    part = f"{count(len(records))} of " if len(records) < chosen.messages else ""
    said = f"  {part}{count(chosen.messages, 'message')}"
    click.echo(f"{bold(clean_line(chosen.title))}{dim(said)}")
    _print_messages(records)
    warn_awaited_of(chosen)


def _is_before(record: Record, moment: datetime.datetime) -> bool:
    """By the clock that the message shows; a moment with a zone is compared with the true time, where that is known."""
    message = record.view.message
    if moment.tzinfo is None:
        return civil(message.time, message.offset) < moment
    return civil(message.time) < moment.astimezone(datetime.UTC).replace(tzinfo=None)


def _print_messages(records: Sequence[Record]) -> None:
    authors = [cut(clean_line(shown_author(record)), 18) for record in records]
    widest = max(map(width, authors), default=0)
    columns = max(24, columns_of_terminal() - widest - 9)
    day = None
    for record, author in zip(records, authors, strict=True):
        message = record.view.message
        moment = civil(message.time, message.offset)
        if moment.date() != day:
            day = moment.date()
            click.echo(f"\n{dim(f'{moment:%A}, {moment.day} {moment:%B %Y}')}")
        clock = f"{moment:%H:%M}" if message.precision < 3 else "     "
        lines = [part for line in describe(record.view) for part in wrap(clean(line), columns)]
        click.echo(f"{dim(clock)}  {bold(pad(author, widest))}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{' ' * (9 + widest)}{line}".rstrip())


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="WORDS...")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="At most so many, the newest first.  [default: all]"
)
@json_option
@pass_app
def search_command(app: App, words: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Find messages that hold all WORDS, the newest first. Capitals and accents do not matter; 中文 is found too."""

    async def find(vault: Vault) -> int:
        chats = {chat.key: chat for chat in await vault.conversations()}
        hits = Hits(words)
        found = 0
        async for record in vault.search(" ".join(words), limit=limit):
            found += 1
            if as_json:
                for line in json_lines([record], chats):
                    click.echo(line)
            else:
                _print_hit(record, chats, hits)
        await warn_awaited(vault)
        return found

    found = app.with_vault(find)
    if not as_json and is_terminal():
        click.echo(dim(f"{count(found, 'message')} found" if found else "Nothing found."))


def _print_hit(record: Record, chats: Mapping[ConversationKey, Chat], hits: Hits) -> None:
    message = record.view.message
    chat = chats.get(message.conversation)
    moment = civil(message.time, message.offset)
    when = f"{moment:%Y-%m-%d %H:%M}" if message.precision < 3 else f"{moment:%Y-%m-%d}      "
    title = pad(cut(clean_line(chat.title if chat else ""), 20), 20)
    author = pad(cut(clean_line(shown_author(record)), 14), 14)
    text = hits.snippet(clean_line(" ".join(describe(record.view))), columns_of_terminal() - 16 - 20 - 14 - 6)
    click.echo(f"{dim(when)}  {title}  {bold(author)}  {text}")


def _name(chat: Chat) -> str:
    return ":".join(part for part in chat.key if part)


def choose(chats: Sequence[Chat], wanted: str) -> Chat:
    """The one chat that a person means. Raises `click.ClickException` where it is none or several."""
    folded = wanted.casefold()
    found: list[Chat] = []
    for matches in (
        lambda chat: wanted in (_name(chat), f"{chat.key.app}:{chat.key.source}"),
        lambda chat: chat.title == wanted,
        lambda chat: len(wanted) >= 4 and chat.id.hex().startswith(folded),
        lambda chat: chat.title.casefold() == folded,
        lambda chat: folded in chat.title.casefold(),
    ):
        found = [chat for chat in chats if matches(chat)]
        if found:
            break
    if len(found) == 1:
        return found[0]
    if not found:
        raise click.ClickException(f"no chat is called `{wanted}`; `sealkeep chats` lists them")
    several = ", ".join(f"{chat.title} ({chat.id.hex()[:_ID]})" for chat in found[:5])
    more = f" and {count(len(found) - 5)} more" if len(found) > 5 else ""
    raise click.ClickException(f"{count(len(found), 'chat')} match `{wanted}`: {several}{more}; give an id")
