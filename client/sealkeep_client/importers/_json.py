"""A pull reader for JSON files that do not fit into memory.

The caller walks the outer objects and arrays; what it does not walk is built whole by the standard library's C scanner,
which is faster than a parser of events and tells the line of a mistake. Older Telegram Desktops escape control characters
as `\\x1F`, which is not JSON; these are read as meant. Fractions come as their decimal text (spec §7.3).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from sealkeep_protocol.errors import SourceError

from ._source import CHUNK, Stream

MAX_VALUE = 32 << 20  # characters of one value that is built whole

_SPACE = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_HEX_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\x([0-9A-Fa-f]{2})")
_OPEN_ESCAPE = re.compile(r"\\+(?:x[0-9A-Fa-f]?)?\Z")
_ODD_ESCAPE = re.compile(r"\\(?:x|u[dD][89a-fA-F])")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_TOKEN = 16  # an error nearer to the end of the buffer may only mean that more has to be read


class JsonReader:
    """Reads one JSON document from a stream.

    `surrogates` tells that a `\\ud…` escape was seen: texts may hold halves of pairs, which no UTF-8 can carry; `length` is
    the number of characters of the value built last. All methods raise `SourceError` with the line where the document
    breaks or ends too early.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = json.JSONDecoder(parse_float=str, parse_constant=str, strict=False).raw_decode
        self._buffer = ""
        self._position = 0
        self._held = ""
        self._lines = 1
        self._end = False
        self.surrogates = False
        self.length = 0

    @property
    def line(self) -> int:
        """The line on which the next token begins, from 1."""
        return self._lines + self._buffer.count("\n", 0, self._position)

    @property
    def position(self) -> int:
        """How many bytes of the stream are read."""
        return self._stream.position

    def peek(self) -> str:
        """The next character that is no white space."""
        if self._position < len(self._buffer) and (mark := self._buffer[self._position]) > " ":
            return mark  # nearly always
        while True:
            match = _SPACE.match(self._buffer, self._position)
            if match is not None:
                self._position = match.end()
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._fill():
                raise self._cut_short()

    def value(self) -> Any:
        """Build the next value whole."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._buffer, self._position)
            except ValueError as error:
                # `from None`: the library's error holds the document.
                if not (isinstance(error, json.JSONDecodeError) and self._is_near_end(error)):
                    raise self.broken() from None
                if self._end:
                    is_over = error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer.rstrip())
                    raise (self._cut_short() if is_over else self.broken()) from None
            except RecursionError:
                raise self.broken("nested too deeply") from None
            else:
                # A number before the end of the buffer may go on: `2` behind which `e+` is all that is read.
                if end + 2 < len(self._buffer) or self._end:
                    self.length = end - self._position
                    self._position = end
                    return value
            if len(self._buffer) - self._position > MAX_VALUE:
                raise self.broken("one entry of more than 32 MiB")
            self._fill()

    def array(self) -> Iterator[None]:
        """Walk an array: at each step the caller reads exactly one value."""
        yield from self._walk("[", "]")

    def values(self) -> Iterator[Any]:
        """The values of an array, each built whole."""
        for _ in self._walk("[", "]"):
            yield self.value()
            # What stands between two values of a long array, without the steps of the walk.
            while (match := _COMMA.match(self._buffer, self._position)) and match.end() < len(self._buffer):
                self._position = match.end()
                yield self.value()

    def object(self) -> Iterator[str]:
        """Walk an object: at each key the caller reads exactly one value."""
        for _ in self._walk("{", "}"):
            if self.peek() != '"':
                raise self.broken()
            key: str = self.value()
            if self.peek() != ":":
                raise self.broken()
            self._position += 1
            yield key

    def skip(self) -> None:
        """Read over the next value; long arrays and objects are not built."""
        opening = self.peek()
        if opening == "[":
            for _ in self.values():
                pass
        else:
            self.value()

    def finish(self) -> None:
        """Make sure that nothing follows."""
        while True:
            match = _SPACE.match(self._buffer, self._position)
            if match is not None:
                self._position = match.end()
            if self._position < len(self._buffer):
                raise self.broken("something follows after the end")
            if not self._fill():
                return

    def broken(self, reason: str = "not valid JSON") -> SourceError:
        """The error for a document that is wrong at this place."""
        line = self.line
        return SourceError(
            f"{self._stream.path}: {reason} at line {line}; export the chats again", path=self._stream.path, line=line
        )

    def _cut_short(self) -> SourceError:
        line = self.line
        return SourceError(
            f"{self._stream.path}: cut short at line {line}; export the chats again, or copy the whole file",
            path=self._stream.path,
            line=line,
        )

    def _walk(self, opening: str, closing: str) -> Iterator[None]:
        if self.peek() != opening:
            raise self.broken()
        self._position += 1
        if self.peek() == closing:
            self._position += 1
            return
        while True:
            yield
            mark = self.peek()
            if mark not in {",", closing}:
                raise self.broken()
            self._position += 1
            if mark == closing:
                return

    def _is_near_end(self, error: json.JSONDecodeError) -> bool:
        """Whether this may only mean that the value goes on behind what is read."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - _LONGEST_TOKEN

    def _fill(self) -> bool:
        """Read more, and let go of what was used. False at the end of the stream."""
        if self._end:
            return False
        left = self._buffer[self._position :]
        self._lines += self._buffer.count("\n", 0, self._position)
        # A value that spans many chunks is scanned again and again: reading doubles, so that this stays linear.
        data = self._stream.read(max(CHUNK, len(left)))
        self._end = not data
        try:
            text = self._held + self._decoder.decode(data, final=self._end)
        except UnicodeDecodeError:
            line = self._lines + left.count("\n")
            raise SourceError(
                f"{self._stream.path}: not UTF-8 after line {line}; export the chats again, and do not edit the file",
                path=self._stream.path,
                line=line,
            ) from None
        self._held = ""
        if not self._end and (match := _OPEN_ESCAPE.search(text, max(0, len(text) - 4096))):
            text, self._held = text[: match.start()], text[match.start() :]
        if _ODD_ESCAPE.search(text):
            text = _HEX_ESCAPE.sub(r"\1\\u00\2", text)
            if _SURROGATE_ESCAPE.search(text):
                self.surrogates = True
        self._buffer = left + text
        self._position = 0
        return True
