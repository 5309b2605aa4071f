"""Reads the few values that are wanted of an XML text that anybody may have sent.

Only character data and attributes are looked at: a document type, and with it every entity of one's own, is refused before
anything is expanded, and nothing outside the text is ever read.
"""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

MAX_XML = 1 << 20  # characters
_MAX_DEPTH = 64
_MAX_FIELDS = 4_096


class _RefusedError(Exception):
    pass


def fields(text: str) -> dict[str, str] | None:
    """The values of a document by path below its root: `appmsg/title` an element's text, `img@length` an attribute's.

    Of several at one path the first counts. None where the text is no well-formed document, or none that can be trusted.
    """
    if len(text) > MAX_XML:
        return None
    found: dict[str, str] = {}
    names: list[str] = []
    texts: list[list[str]] = []

    def path() -> str:
        return "/".join(names[1:])

    def start(name: str, attributes: dict[str, str]) -> None:
        names.append(name)
        texts.append([])
        if len(names) > _MAX_DEPTH or len(found) > _MAX_FIELDS:
            raise _RefusedError
        for key, value in attributes.items():
            found.setdefault(f"{path()}@{key}", value)

    def end(_name: str) -> None:
        if value := "".join(texts.pop()).strip():
            found.setdefault(path(), value)
        names.pop()

    def data(part: str) -> None:
        if texts:
            texts[-1].append(part)

    def refuse(*_: object) -> NoReturn:
        raise _RefusedError

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, _RefusedError, ValueError):
        return None
    return found
