"""Decoding the contents of segments that were opened, and keeping them in order (spec §6.8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sealkeep_client.engine._actions import Decode, Steps, TakeDecoded
from sealkeep_client.engine._reading import CheckedSegment, Content, ReadSegment
from sealkeep_protocol.errors import MalformedError

T = TypeVar("T")

_AHEAD: Final = 3  # segments whose contents may be decoded while those before are kept
_AHEAD_BYTES: Final = 1 << 22  # of their contents together; a content is as long at most


def take_decoded(checked: CheckedSegment) -> Steps[ReadSegment]:
    """The segment with its content, for which `Decode` was asked where there is one."""
    if checked.opened is None:
        return checked.unread(checked.unreadable)
    try:
        content: Content = yield TakeDecoded()
    except MalformedError as error:
        return checked.unread(error)
    return checked.read(content)


class InOrder(Generic[T]):
    """Segments on their way to be kept, each with what else `keep` is told of it; contents are decoded some ahead."""

    def __init__(self, keep: Callable[[ReadSegment | None, T], Steps[None]]) -> None:
        self._keep = keep
        self._ahead: deque[tuple[CheckedSegment | ReadSegment | None, T]] = deque()

    def put(self, segment: CheckedSegment | ReadSegment | None, of_it: T) -> Steps[None]:
        """Have one kept behind those before it."""
        if isinstance(segment, CheckedSegment) and segment.opened is not None:
            yield Decode(segment.opened.content or b"")
        self._ahead.append((segment, of_it))
        while len(self._ahead) > _AHEAD or sum(_size(one) for one, _ in self._ahead) > _AHEAD_BYTES:
            yield from self._keep_first()

    def finish(self) -> Steps[None]:
        """Keep all that were put."""
        while self._ahead:
            yield from self._keep_first()

    def _keep_first(self) -> Steps[None]:
        segment, of_it = self._ahead.popleft()
        if isinstance(segment, CheckedSegment):
            segment = yield from take_decoded(segment)
        yield from self._keep(segment, of_it)


def _size(segment: CheckedSegment | ReadSegment | None) -> int:
    """Bytes of the content that is being decoded."""
    is_decoding = isinstance(segment, CheckedSegment) and segment.opened is not None
    return len(segment.opened.content or b"") if is_decoding else 0  # type: ignore[union-attr]
