"""`python -m sealkeep_server`: the same as `sealkeep relay`."""

from sealkeep_server.cli import relay

relay(prog_name="sealkeep relay")
