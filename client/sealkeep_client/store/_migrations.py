"""Bringing a database to the newest schema, one step a version."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sealkeep_client.store._database import Database
from sealkeep_client.store._schema import APPLICATION_ID, AWAITED, FILES, KEPT, SCHEMA, UNOPENED, VERSION
from sealkeep_protocol.errors import StoreError

STEPS: Mapping[int, str] = MappingProxyType({1: UNOPENED, 2: KEPT, 3: FILES, 4: AWAITED})
"""SQL that leads from the version of its key to the next. A step that was published never changes."""


def create(database: Database) -> None:
    """Make the tables in an empty database. Raises `StoreError`."""
    with database.transaction():
        database.script(SCHEMA)
        database.script(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}")


def migrate(database: Database, *, steps: Mapping[int, str] = STEPS, newest: int = VERSION) -> None:
    """Lead an older schema to the newest: all steps or none. Raises `StoreError` for a newer one, which stays so."""
    version = int(database.value("PRAGMA user_version"))
    if int(database.value("PRAGMA application_id")) != APPLICATION_ID or version < 1:
        raise StoreError("the database of this home is not one of sealkeep: restore this device with the recovery kit")
    if version > newest:
        raise StoreError(
            f"this home was written by a newer sealkeep (schema {version}, this one knows {newest}): update sealkeep"
        )
    if version == newest:
        return
    with database.transaction():
        for step in range(version, newest):
            database.script(steps[step])
        database.script(f"PRAGMA user_version = {newest}")
