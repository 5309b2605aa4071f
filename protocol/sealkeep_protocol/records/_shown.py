"""What of a message's attachments a view shows (spec §12.2), and which content record or preview of a root counts first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, TypeAlias

from sealkeep_protocol.records._fields import content_to_fields, preview_to_fields
from sealkeep_protocol.records._join import Attachments
from sealkeep_protocol.records._model import Attachment, ContentRecord, Preview
from sealkeep_protocol.records._table import digest

_Said: TypeAlias = str | int | None
_ANY: Final = -1  # neither a name nor a size
_ANYTHING: Final = (_ANY, _ANY)


def shown_attachments(joined: Attachments, *, mixed: bool) -> Attachments:
    """What a view shows of the joined list of a message, in its order; `mixed`: it is a union, ordered by digests."""
    # §12.2: "A list that one source gave by itself is shown as it is; …"
    if not joined or not mixed or all(attachment.root is None for attachment in joined):  # nearly always
        return joined
    covering = Covering(joined)
    shown: list[Attachment] = []
    seen: set[tuple[str, str | None, bytes | None]] = set()
    for attachment in joined:
        if attachment.root is None:
            if not covering.covers(attachment):
                shown.append(attachment)
            continue
        # §12.2: "… of those with a root that are alike in role, name (or both without) and root, only the one with the
        # smallest digest is shown." It is the first of a union.
        alike = attachment.role, attachment.name, attachment.root
        if alike not in seen:
            shown.append(attachment)
            seen.add(alike)
    return tuple(shown) if len(shown) < len(joined) else joined


class Covering:
    """What of a list of attachments is stored, and so stands for which ones that are not."""

    __slots__ = ("_said", "_waiting")

    def __init__(self, joined: Iterable[Attachment]) -> None:
        # Sets and counts by role: a message may have thousands, and each is looked at.
        self._said: dict[str, set[tuple[_Said, _Said]]] = {}
        self._waiting: Counter[str] = Counter()
        for one in joined:
            if one.root is None:
                self._waiting[one.role] += 1
            else:
                said = (one.name, one.size)
                self._said.setdefault(one.role, set()).update((said, (one.name, _ANY), (_ANY, one.size), _ANYTHING))

    def covers(self, attachment: Attachment) -> bool:
        """Whether one of the list that is stored stands for this one of it, which is not."""
        # §12.2: "An attachment without a root is not shown where any of the union with a root has its role and does not
        # differ from it in a name or size that both say, if either they say one of these alike, or it is the only one of
        # that role without a root."
        name, size = attachment.name, attachment.size
        found = self._said.get(attachment.role, set())
        # What does not differ from a name: the same or none; from none: any.
        names: tuple[_Said, ...] = (_ANY,) if name is None else (name, None)
        sizes: tuple[_Said, ...] = (_ANY,) if size is None else (size, None)
        if name is not None and any((name, other) in found for other in sizes):
            return True
        if size is not None and any((other, size) in found for other in names):
            return True
        alone = self._waiting[attachment.role] == 1
        return alone and any((one, other) in found for one in names for other in sizes)


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
