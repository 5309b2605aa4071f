"""The device's encrypted database: records, outbox, and what was verified of the account.

Synchronous, for one thread of one process. In short:

    store = Store.create(home, Passphrase(ask))     # then fill it, and store.publish()
    store = Store.open(home, Passphrase(ask))       # or Keyring()
    store.ids = RecordIds(record_id_key)            # before records are put

    run = store.outbox.start_run()                  # an import
    store.put(messages, contacts=…, conversations=…, marks=…, upload=UploadClass.HISTORY, run=run)
    store.front.queue(run)                          # the last 50 of every chat, to be uploaded first
    store.put([message], upload=UploadClass.LIVE)   # durable when it returns

    batch = store.outbox.read(UploadClass.LIVE, limit=1000)     # .records in order; nothing is taken out yet
    store.outbox.add_pending(seq, header, summary, body, batch.carried(count))
    store.outbox.settle([Receipt(seq, header_id, position)])    # or refuse(seq, header_id, refusal)

    with store.transaction():                       # a verified page: records, feed heads and cursor, or nothing
        store.put(message_rows(messages, ids), marks=…, upload=None)
        store.sync.put_feed(head); store.sync.add_headers(…); store.sync.put("cursor", …)

    store.views.conversations() / history(…) / message(id) / search(words) / everything()
    stop = store.listen(show)                       # Changes, once per commit

Every write opens a transaction of its own where there is none, and every commit is durable. Errors of the database, the
disk, the lock and the passphrase are `StoreError`, one clear line each; nothing is half done after one.
"""

from __future__ import annotations

from sealkeep_client.store._awaited import Awaited, AwaitedByConversation, AwaitedCount
from sealkeep_client.store._batches import OutboxBatch, Span
from sealkeep_client.store._changes import Changes
from sealkeep_client.store._content_records import KnownRecord
from sealkeep_client.store._entities import Put
from sealkeep_client.store._front import FRONT_MESSAGES
from sealkeep_client.store._home import is_held, is_home, is_unmade
from sealkeep_client.store._kept import KeptSegment
from sealkeep_client.store._outbox import Outbox
from sealkeep_client.store._rows import MessageRows, message_rows
from sealkeep_client.store._store import Store, unlock_method
from sealkeep_client.store._sync_state import FeedHead, Head, SyncState
from sealkeep_client.store._unlock import INTERACTIVE, STANDARD, Keyring, Passphrase, Strength, Unlock
from sealkeep_client.store._uploads import Upload
from sealkeep_client.store._views import ContactEntry, ConversationView, MessageEntry, ViewEntry, Views
from sealkeep_client.store._waiting import Pending, Receipt, RecordKind, UploadClass, Waiting

__all__ = [
    "FRONT_MESSAGES",
    "INTERACTIVE",
    "STANDARD",
    "Awaited",
    "AwaitedByConversation",
    "AwaitedCount",
    "Changes",
    "ContactEntry",
    "ConversationView",
    "FeedHead",
    "Head",
    "KeptSegment",
    "Keyring",
    "KnownRecord",
    "MessageEntry",
    "MessageRows",
    "Outbox",
    "OutboxBatch",
    "Passphrase",
    "Pending",
    "Put",
    "Receipt",
    "RecordKind",
    "Span",
    "Store",
    "Strength",
    "SyncState",
    "Unlock",
    "Upload",
    "UploadClass",
    "ViewEntry",
    "Views",
    "Waiting",
    "is_held",
    "is_home",
    "is_unmade",
    "message_rows",
    "unlock_method",
]
