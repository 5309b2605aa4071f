"""Exports of what a person keeps: JSON lines, and one page to read.

    with output("chats.jsonl") as file:                                    # or "-"
        write_lines(store.views.everything(), file, ids=store.ids)         # or write_page

Both read a view once, in its order, and write as they go: memory does not grow with the number of records. The same set of
records gives the same bytes on every device of an account.
"""

from __future__ import annotations

from sealkeep_client.exporting._html import write_page
from sealkeep_client.exporting._lines import write_lines
from sealkeep_client.exporting._names import attachment_name, safe_name
from sealkeep_client.exporting._output import STDOUT, ByteWriter, output

__all__ = ["STDOUT", "ByteWriter", "attachment_name", "output", "safe_name", "write_lines", "write_page"]
