"""The command `sealkeep`: a person's way to import, keep in step, read, search and export their chats.

Exit status: 0 done, 1 it failed, 2 it was called wrongly, 3 the relay misbehaved, 130 it was stopped (Ctrl-C).
"""

from __future__ import annotations

from sealkeep_client.cli._run import main

__all__ = ["main"]
