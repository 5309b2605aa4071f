"""The public face of `sealkeep_protocol.records`."""

from __future__ import annotations

from sealkeep_protocol import records
from sealkeep_protocol.records import _model


def test_all_names_are_there() -> None:
    assert len(set(records.__all__)) == len(records.__all__)
    for name in records.__all__:
        assert hasattr(records, name)


def test_the_model_is_public() -> None:
    imported = {"annotations", "Mapping", "Sequence", "dataclass", "IntEnum", "NamedTuple", "TypeAlias"}
    public = {name for name in vars(_model) if not name.startswith("_")} - imported
    assert public <= set(records.__all__)


def test_the_rest_of_the_face() -> None:
    model = {name for name in vars(_model) if not name.startswith("_")}
    assert sorted(set(records.__all__) - model) == [
        "Body",
        "BodyTooLargeError",
        "Content",
        "Covering",
        "HybridClock",
        "MAX_AHEAD",
        "MAX_PICTURE",
        "MAX_PIXELS",
        "MAX_RECORD",
        "MAX_RECORDS",
        "MarkIdentity",
        "MessageColumns",
        "MessageState",
        "MessageView",
        "OrderKey",
        "PREVIEW_TYPES",
        "Reaction",
        "RecordIds",
        "Unknown",
        "View",
        "apply",
        "clock_time",
        "conflict_key",
        "contact_from_fields",
        "contact_to_fields",
        "contacts_from_fields",
        "contacts_to_fields",
        "content_from_fields",
        "content_order",
        "content_to_fields",
        "conversation_from_fields",
        "conversation_to_fields",
        "decode_body",
        "decode_columns",
        "encode_body",
        "encoded_size",
        "fold",
        "join",
        "join_contacts",
        "join_conversations",
        "join_marks",
        "mark_from_fields",
        "mark_identity",
        "mark_to_fields",
        "merge",
        "message_from_fields",
        "message_to_fields",
        "messages_from_fields",
        "messages_to_fields",
        "order_key",
        "preview_from_fields",
        "preview_order",
        "preview_to_fields",
        "shown_attachments",
        "view",
    ]
