"""The tables of a device's database, as the newest version makes them.

Numbers `n` are this device's own: a message's grow with arrival, so that what came together lies together and the
outbox needs one row for a whole import. What names a record everywhere is its id (16 bytes, spec §7.1), which is stored
because views, marks and joins look records up by it.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 3
"""Stored as `PRAGMA user_version`."""

APPLICATION_ID: Final = 0x5EA1_4EE9

TOKENIZER: Final = ("unicode61", "remove_diacritics", "0", "categories", "L* M* N* Co So")
"""The index gets folded text (`_words`): the tokenizer only splits. Symbols count too, so that emoji are found."""

KEPT: Final = """
-- Segments as they were signed and sealed, by `n` in the order in which they were verified (see `_kept`). Summary and body
-- go before the header does.
CREATE TABLE kept (
    n INTEGER PRIMARY KEY, device INTEGER NOT NULL, seq INTEGER NOT NULL, header BLOB NOT NULL, summary BLOB, body BLOB,
    UNIQUE (device, seq)
) STRICT;
CREATE INDEX kept_whole ON kept (n) WHERE body IS NOT NULL;

-- The wrap for the recovery key of each roster entry that this device composed: no relay gives it back.
CREATE TABLE recovery_wraps (number INTEGER PRIMARY KEY, wrap BLOB NOT NULL) STRICT;
"""
"""What version 3 added."""

_TOKENIZE = f"{TOKENIZER[0]} {TOKENIZER[1]} {TOKENIZER[2]} {TOKENIZER[3]} '{TOKENIZER[4]}'"

UNOPENED: Final = """
-- Verified segments whose content waits for the key of their epoch (SEG-23).
CREATE TABLE unopened (
    device INTEGER NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;
"""

SCHEMA: Final = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Records. `fields` and `rest` are CBOR maps by the field numbers of spec §7.
CREATE TABLE contacts (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, fields BLOB NOT NULL) STRICT;

-- `fields` is NULL while only messages name the conversation; `messages` counts its messages.
CREATE TABLE conversations (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, app TEXT NOT NULL, scope TEXT NOT NULL, source TEXT NOT NULL,
    fields BLOB, messages INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The join of a message's copies (spec §7.7); what its revisions say is in `marks`. `time` is at its precision, as
-- views order it. `flags` (see `_states`) tells what else there is to fetch, so that most messages are their row alone.
CREATE TABLE messages (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, conversation INTEGER NOT NULL, time INTEGER NOT NULL,
    rank INTEGER NOT NULL, kind INTEGER NOT NULL, author TEXT, text TEXT, rest BLOB NOT NULL,
    flags INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX messages_view ON messages (conversation, time, rank, id);

-- What other copies of a message said; the one that wins is in its row.
CREATE TABLE contents (
    message INTEGER NOT NULL, digest BLOB NOT NULL, content BLOB NOT NULL, PRIMARY KEY (message, digest)
) STRICT, WITHOUT ROWID;

-- `waiting`: the target is not here yet.
CREATE TABLE marks (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, type INTEGER NOT NULL, target BLOB NOT NULL, fields BLOB NOT NULL,
    waiting INTEGER NOT NULL
) STRICT;
CREATE INDEX marks_target ON marks (target, type);
CREATE INDEX marks_waiting ON marks (target) WHERE waiting;

-- What newer versions wrote (REC-03): a value of an unknown field of a record, or a whole unknown table (`record`
-- empty).
CREATE TABLE unknown (
    kind INTEGER NOT NULL, record BLOB NOT NULL, field INTEGER NOT NULL, digest BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (kind, record, field, digest)
) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE words USING fts5 (text, content='', detail=none, columnsize=0, tokenize="{_TOKENIZE}");

-- What is not sealed yet: ranges of numbers of one kind of record (spec §7.1's table numbers), of one class (spec §6.3)
-- and one run (an import). The oldest position comes first; positions only grow, and a part of a range keeps its position.
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, class INTEGER NOT NULL, run INTEGER NOT NULL,
    position INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_order ON outbox (class, position, first);
CREATE INDEX outbox_end ON outbox (kind, class, run, position);
CREATE TABLE runs (
    run INTEGER NOT NULL, conversation INTEGER NOT NULL, PRIMARY KEY (run, conversation)
) STRICT, WITHOUT ROWID;

-- Sealed and without an answer (SEG-12), and the answers.
CREATE TABLE pending (
    seq INTEGER PRIMARY KEY, header BLOB NOT NULL, summary BLOB NOT NULL, body BLOB NOT NULL, carried BLOB NOT NULL
) STRICT;
CREATE TABLE receipts (seq INTEGER PRIMARY KEY, header_id BLOB NOT NULL, position INTEGER NOT NULL) STRICT;
CREATE TABLE refusals (header_id BLOB PRIMARY KEY, seq INTEGER NOT NULL, refusal BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- What was verified of the roster and the feeds.
CREATE TABLE roster (number INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE epochs (number INTEGER PRIMARY KEY, secret BLOB NOT NULL) STRICT;
CREATE TABLE feeds (
    device INTEGER PRIMARY KEY, seq INTEGER NOT NULL, header_id BLOB NOT NULL, roster INTEGER NOT NULL,
    epoch INTEGER NOT NULL, heads BLOB NOT NULL
) STRICT;
CREATE TABLE headers (
    device INTEGER NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL, PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;
{UNOPENED}{KEPT}"""
