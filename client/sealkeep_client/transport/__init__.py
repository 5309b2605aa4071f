"""The line to a relay (spec §8): the only part of the client that opens sockets."""

from sealkeep_client.transport._http import PAGE_ITEMS, SUMMARY_ITEMS, HttpRelay, check_url
from sealkeep_client.transport._mailbox import HttpMailbox
from sealkeep_client.transport._session import Credentials, Parts

__all__ = ["PAGE_ITEMS", "SUMMARY_ITEMS", "Credentials", "HttpMailbox", "HttpRelay", "Parts", "check_url"]
