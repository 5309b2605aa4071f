"""`python -m sealkeep_client.cli` is `sealkeep`."""

import sys

from sealkeep_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
