"""Distinct types for the numbers and identifiers of the protocol (spec §0), so that one cannot stand for another."""

from __future__ import annotations

from typing import NewType

AccountId = NewType("AccountId", bytes)  # 32 bytes: the id of the genesis
ObjectId = NewType("ObjectId", bytes)  # 32 bytes: the id of a signed object
DeviceId = NewType("DeviceId", int)  # from 1
Seq = NewType("Seq", int)  # from 1; 0 stands for "none yet"
EpochNumber = NewType("EpochNumber", int)  # from 1
RecordId = NewType("RecordId", bytes)  # 16 bytes

NO_ID = ObjectId(b"")
NO_SEQ = Seq(0)
