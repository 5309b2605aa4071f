"""Which attachments of a copy the other devices must hear of (spec §12.2)."""

from __future__ import annotations

from dataclasses import replace

from sealkeep_client.store._messages import _missing
from sealkeep_protocol.records import Attachment, Mark, MarkType, Message, MessageState, mark_identity
from support.record_strategies import CHAT

HELLO = Message(conversation=CHAT, source=1, time=1_000, kind=1, text="hello")


def test_which_attachments_of_a_copy_are_news() -> None:
    stored = Attachment("photo", "a.jpg", state=0, root=bytes(32))
    added = Mark(MarkType.SUPPLEMENT, bytes(16), attachments=(stored,))
    for state in (
        MessageState(replace(HELLO, attachments=(stored,))),
        MessageState(HELLO, marks={mark_identity(added): added}),
    ):
        assert _missing((replace(stored, width=640), Attachment("photo", state=2)), state) == ()
        for one in (replace(stored, name="b.jpg"), replace(stored, root=bytes([1]) * 32), replace(stored, role="file")):
            assert _missing((one,), state) == (one,)
    # A copy does not tell a placeholder that it covers itself.
    assert _missing((Attachment("photo", state=2), stored), MessageState(HELLO)) == (stored,)
    assert _missing((), MessageState(HELLO)) == ()
