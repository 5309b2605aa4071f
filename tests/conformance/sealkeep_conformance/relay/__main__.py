"""Run a hostile relay until standard input ends: `python -m sealkeep_conformance.relay`.

Its first line of output is a JSON object: `url`, `control`, `identity` and `incarnation` (hexadecimal).
"""

from __future__ import annotations

import json
import sys

from sealkeep_conformance.relay import HostileRelay


def main() -> None:
    with HostileRelay() as relay:
        told = {
            "url": relay.url,
            "control": relay.control_url,
            "identity": relay.identity.hex(),
            "incarnation": relay.incarnation.hex(),
        }
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
