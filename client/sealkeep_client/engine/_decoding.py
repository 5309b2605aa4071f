"""Taking the decoded content of a segment that was opened (spec §6.8)."""

from __future__ import annotations

from sealkeep_client.engine._actions import Steps, TakeDecoded
from sealkeep_client.engine._reading import CheckedSegment, Content, ReadSegment
from sealkeep_protocol.errors import MalformedError


def take_decoded(checked: CheckedSegment) -> Steps[ReadSegment]:
    """The segment with its content, for which `Decode` was asked where there is one."""
    if checked.opened is None:
        return checked.unread(checked.unreadable)
    try:
        content: Content = yield TakeDecoded()
    except MalformedError as error:
        return checked.unread(error)
    return checked.read(content)
