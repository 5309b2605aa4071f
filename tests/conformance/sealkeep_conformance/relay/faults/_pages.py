"""Faults of pages: what a reader of changes or of a feed is handed (spec §8.5)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Final

from sealkeep_conformance.relay._answers import Answer, Item, Page
from sealkeep_conformance.relay._honest import item_of
from sealkeep_conformance.relay.faults._fault import PAGES, Fault, Scene, fault, flipped

PARTS: Final = ("header", "summary", "body")


class PageFault(Fault):
    """Changes pages, and leaves all other answers alone."""

    routes = PAGES

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        return self.page(scene, answer) if isinstance(answer, Page) else answer

    @abstractmethod
    def page(self, scene: Scene, page: Page) -> Page:
        """What is shown instead."""


class ItemFault(PageFault):
    """Changes one segment, wherever it is shown."""

    device: int
    seq: int

    def page(self, scene: Scene, page: Page) -> Page:
        items: list[Item] = []
        for item in page.items:
            items += self.item(scene, item, items) if (item.device, item.seq) == (self.device, self.seq) else [item]
        return replace(page, items=tuple(items))

    @abstractmethod
    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        """What is shown instead of the segment; `before` stands before it on the page."""


@fault
class Drop(ItemFault):
    """Leaves one segment out of every page."""

    device: int
    seq: int

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        return []


@fault
class Reorder(PageFault):
    """Shows a segment before another one that came earlier; positions ascend unless told otherwise."""

    device: int
    seq: int
    before_device: int
    before_seq: int
    renumber: bool = True

    def page(self, scene: Scene, page: Page) -> Page:
        items = list(page.items)
        places = [(item.device, item.seq) for item in items]
        if (self.device, self.seq) not in places or (self.before_device, self.before_seq) not in places:
            return page
        moved = items.pop(places.index((self.device, self.seq)))
        items.insert(places.index((self.before_device, self.before_seq)), moved)
        if self.renumber:
            positions = sorted(item.position for item in items)
            items = [replace(item, position=at) for item, at in zip(items, positions, strict=True)]
        return replace(page, items=tuple(items))


@fault
class Replay(PageFault):
    """Shows an old segment once more, behind all others, under the next position."""

    device: int
    seq: int

    def page(self, scene: Scene, page: Page) -> Page:
        if page.more or not page.items:
            return page
        again = replace(item_of(scene.stored(self.device, self.seq)), position=page.position + 1)
        return replace(page, items=(*page.items, again), position=page.position + 1)


@fault
class DuplicatePosition(ItemFault):
    """Gives a segment the position of the one before it."""

    device: int
    seq: int

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        return [replace(item, position=before[-1].position if before else item.position - 1)]


@fault
class Swap(ItemFault):
    """Shows another segment's header, summary or body (`all`: the three of them) in the place of a segment's own."""

    device: int
    seq: int
    part: str
    with_device: int
    with_seq: int
    with_account: bytes = b""

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        other = item_of(scene.stored(self.with_device, self.with_seq, self.with_account))
        parts = PARTS if self.part == "all" else (self.part,)
        for part in parts:
            if getattr(item, part) is not None:
                item = item.with_part(part, getattr(other, part))
        return [item]


@fault
class Relabel(ItemFault):
    """Offers a segment as another device's, or under another seq."""

    device: int
    seq: int
    as_device: int
    as_seq: int

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        return [replace(item, device=self.as_device, seq=self.as_seq)]


@fault
class Strip(ItemFault):
    """Withholds a part of a segment: its summary, or its body."""

    device: int
    seq: int
    part: str

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        return [item.with_part(self.part, None)]


@fault
class Shorten(ItemFault):
    """Cuts bytes off the end of a part of a segment."""

    device: int
    seq: int
    part: str
    by: int = 1

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        data = getattr(item, self.part)
        return [item if data is None else item.with_part(self.part, data[: -self.by])]


@fault
class Flip(ItemFault):
    """Flips one bit of a part of a segment; negative bits count from the end."""

    device: int
    seq: int
    part: str
    bit: int = -1

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        data = getattr(item, self.part)
        return [item if data is None else item.with_part(self.part, flipped(data, self.bit))]


@fault
class OversizeItem(ItemFault):
    """Blows a segment's body up to so many bytes."""

    device: int
    seq: int
    size: int

    def item(self, scene: Scene, item: Item, before: list[Item]) -> list[Item]:
        return [replace(item, body=(item.body or b"").ljust(self.size, b"\0"))]


@fault
class OversizePage(PageFault):
    """Shows more segments on a page than were asked for: the last one, over and over, under ascending positions."""

    items: int

    def page(self, scene: Scene, page: Page) -> Page:
        if not page.items:
            return page
        last = page.items[-1]
        more = (replace(last, position=last.position + n) for n in range(1, self.items - len(page.items) + 1))
        items = (*page.items, *more)
        return replace(page, items=items, position=items[-1].position)


@fault
class Cursor(PageFault):
    """Ends pages with another cursor: so much further, or back; `more` promises that there is more."""

    by: int = 0
    more: bool | None = None

    def page(self, scene: Scene, page: Page) -> Page:
        more = page.more if self.more is None else self.more
        return replace(page, position=max(0, page.position + self.by), more=more)


@fault
class EmptyPages(PageFault):
    """Shows nothing, and promises for ever that there is more."""

    def page(self, scene: Scene, page: Page) -> Page:
        after = scene.question.number("after", 0)
        return replace(page, items=(), position=after, more=True)


@fault
class NoTrailer(PageFault):
    """Ends pages without their trailer."""

    def page(self, scene: Scene, page: Page) -> Page:
        return replace(page, has_trailer=False)


@fault
class AnotherStore(PageFault):
    """Names another incarnation on its pages than among its heads."""

    def page(self, scene: Scene, page: Page) -> Page:
        return replace(page, incarnation=flipped(page.incarnation, 0))
