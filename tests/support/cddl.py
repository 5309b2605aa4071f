"""The rules of spec/sealkeep.cddl, as a CDDL tool understands them."""

from __future__ import annotations

from typing import Any

import cbor2
import zcbor


class Cddl:
    """The rules that stand in a text; `accept` and `refuse` assert."""

    def __init__(self, text: str) -> None:
        self._rules = zcbor.DataTranslator.from_cddl(text, 1 << 20).my_types

    def refusal(self, rule: str, data: bytes) -> str | None:
        """Why the tool refuses the data; None where it does not."""
        try:
            self._rules[rule].validate_str(data)
        except zcbor.CddlValidationError as error:
            return str(error)
        except (cbor2.CBORDecodeError, AssertionError) as error:  # inside a `.cbor`
            return repr(error)
        return None

    def accept(self, rule: str, data: bytes) -> None:
        assert (refused := self.refusal(rule, data)) is None, f"{rule}: {refused}"

    def refuse(self, rule: str, item: Any) -> None:
        assert self.refusal(rule, cbor2.dumps(item)) is not None, f"{rule} accepts {item!r}"
