"""The tables of a device's database, as the newest version makes them.

Numbers `n` are this device's own: a message's grow with arrival, so that what came together lies together and the
outbox needs one row for a whole import. What names a record everywhere is its id (16 bytes, spec §7.1), which is stored
because views, marks and joins look records up by it.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 5
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

FILES: Final = """
-- Contents of which bytes are, or were, here (spec §12.1): `hashes` of the pieces, 32 bytes each, in order. `whole`:
-- 1 where all of them are here to stay, 2 where one of those was damaged since.
CREATE TABLE media (
    n INTEGER PRIMARY KEY, root BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, hashes BLOB NOT NULL,
    whole INTEGER NOT NULL
) STRICT;
CREATE INDEX media_damaged ON media (n) WHERE whole = 2;

-- The pieces in files beside the database, by their hashes. `uses`: in how many whole contents; one without is in the
-- cache, where the smallest `place` goes first. `name` is that of the file.
CREATE TABLE pieces (
    hash BLOB PRIMARY KEY, name BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, uses INTEGER NOT NULL,
    place INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pieces_cached ON pieces (place) WHERE uses = 0;

-- Content records (spec §12.2): those of each author's latest segment, `seq`, that holds one of the root. `ids`: those
-- of all chunks, the list's included, where they are known; `served`: this device has sealed, opened or proved them.
CREATE TABLE content_records (
    root BLOB NOT NULL, device INTEGER NOT NULL, digest BLOB NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL,
    fields BLOB NOT NULL, ids BLOB, served INTEGER NOT NULL, PRIMARY KEY (root, device, digest)
) STRICT, WITHOUT ROWID;

-- Contents on their way to the relay under an epoch: the ids of the chunks that are there, as far as it has come, and
-- the content record, once all are. A row goes with the receipt of a segment that holds the record.
CREATE TABLE uploads (
    root BLOB PRIMARY KEY, epoch INTEGER NOT NULL, ids BLOB NOT NULL, record BLOB
) STRICT, WITHOUT ROWID;

-- Marks that name contents, until the receipt of a segment that holds both: `queued` once they wait in the outbox,
-- which is when their contents are at the relay.
CREATE TABLE held (
    mark INTEGER NOT NULL, root BLOB NOT NULL, class INTEGER NOT NULL, run INTEGER NOT NULL, queued INTEGER NOT NULL,
    PRIMARY KEY (mark, root)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_root ON held (root);
CREATE TRIGGER held_no_more AFTER DELETE ON marks BEGIN
    DELETE FROM held WHERE mark = old.n;
END;

-- Previews (spec §12.3): the latest of each author for a root.
CREATE TABLE previews (
    n INTEGER PRIMARY KEY, root BLOB NOT NULL, device INTEGER NOT NULL, seq INTEGER NOT NULL, fields BLOB NOT NULL,
    UNIQUE (root, device)
) STRICT;

-- Of a segment: the ids of its chunks, one behind the other; whether some of those may be missing; and its content
-- records, an array of [root, fields].
ALTER TABLE pending ADD COLUMN chunks BLOB NOT NULL DEFAULT x'';
ALTER TABLE pending ADD COLUMN missing_ok INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pending ADD COLUMN contents BLOB NOT NULL DEFAULT x'80';
ALTER TABLE kept ADD COLUMN chunks BLOB DEFAULT x''; -- NULL: not all are known
"""
"""What version 4 added."""

AWAITED: Final = """
-- Verified segments whose bodies have still to come, and what their summaries say (see `_awaited`); `last` is in ms.
CREATE TABLE awaited (
    device INTEGER NOT NULL, seq INTEGER NOT NULL, stage INTEGER NOT NULL, last INTEGER NOT NULL, size INTEGER NOT NULL,
    records INTEGER NOT NULL, tags BLOB NOT NULL, all_tagged INTEGER NOT NULL, PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX awaited_order ON awaited (stage, last DESC, device, seq);
"""
"""What version 5 added."""

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
-- and one run (an import). The oldest position comes first; positions only grow, and a part of a range keeps its
-- position.
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
{UNOPENED}{KEPT}{FILES}{AWAITED}"""
