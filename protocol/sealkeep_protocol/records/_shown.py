"""What of a message's attachments a view shows (spec §12.2), and which content record or preview of a root counts first."""

from __future__ import annotations

from sealkeep_protocol.records._fields import content_to_fields, preview_to_fields
from sealkeep_protocol.records._join import Attachments
from sealkeep_protocol.records._model import Attachment, ContentRecord, Preview
from sealkeep_protocol.records._table import digest


def shown_attachments(joined: Attachments, *, mixed: bool) -> Attachments:
    """What a view shows of the joined list of a message, in its order; `mixed`: it is a union, ordered by digests."""
    if not joined or all(attachment.root is None for attachment in joined):  # nearly always
        return joined
    shown: list[Attachment] = []
    seen: set[tuple[str, str | None, bytes | None]] = set()
    for attachment in joined:
        if attachment.root is None:
            if not is_covered(attachment, joined):
                shown.append(attachment)
            continue
        # §12.2: "… of those with a root that are alike in role, name (or both without) and root, only the one with the
        # smallest digest is shown." It is the first of a union.
        alike = attachment.role, attachment.name, attachment.root
        if not mixed or alike not in seen:
            shown.append(attachment)
        seen.add(alike)
    return tuple(shown) if len(shown) < len(joined) else joined


def is_covered(attachment: Attachment, joined: tuple[Attachment, ...]) -> bool:
    """Whether one of a joined list that is stored stands for this one of it, which is not."""
    # §12.2: "An attachment without a root is not shown where any of the joined list with a root has its role and does not
    # differ from it in a name or size that both say, if either they say one of these alike, or it is the only one of that
    # role without a root."
    alone = sum(other.root is None and other.role == attachment.role for other in joined) == 1
    for other in joined:
        if other.root is None or other.role != attachment.role:
            continue
        both = [
            (a, b)
            for a, b in ((attachment.name, other.name), (attachment.size, other.size))
            if a is not None and b is not None
        ]
        if all(a == b for a, b in both) and (both or alone):
            return True
    return False


def content_order(record: ContentRecord, *, verified: bool, active: bool) -> tuple[bool, bool, int, bytes]:
    """Orders the content records of one root: the first that serves is read by (FIL-07).

    `verified`: this device has sealed, opened or proved the chunks itself; `active`: the record's author is.
    """
    # FIL-07: "… one whose chunks it has itself sealed, opened or proved, then those of active devices before those of
    # removed ones, then that of the greater epoch, then of the smaller digest."
    return not verified, not active, -record.epoch, digest(content_to_fields(record))


def preview_order(preview: Preview, *, own: bool, active: bool) -> tuple[bool, bool, bytes]:
    """Orders the previews of one root: the first is shown (§12.3). `own`: this device made it; `active`: its author is."""
    return not own, not active, digest(preview_to_fields(preview))
