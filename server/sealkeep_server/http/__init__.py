"""The relay over HTTP."""

from sealkeep_server.http._connection import RelayServer
from sealkeep_server.http._routes import Routes

__all__ = ["RelayServer", "Routes"]
