"""Pure calls that a worker may make. They stand apart from the vault, whose modules take longer to load than most of them
take: a worker loads what it is asked for, each time that there is one."""

from sealkeep_client.jobs._contents import DecodedContent, decode_content
from sealkeep_client.jobs._exports import ReadBatch, read_exports

__all__ = ["DecodedContent", "ReadBatch", "decode_content", "read_exports"]
