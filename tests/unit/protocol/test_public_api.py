"""The public names of the packages whose modules are private."""

from __future__ import annotations

from sealkeep_protocol import files, pairing, roster, segments

FILES = """
CHALLENGE_SIZE MAX_CHUNK MAX_CHUNKS MAX_NAMED MAX_SIZE PIECE_SIZE Chunk Content ContentBuilder ContentRecord Filling
Location Piece Span check_chunk check_chunk_ids check_piece check_proof check_record chunks_hash chunks_used
content_root cut is_chunk_length locate locate_list make_list make_record open_chunk padded_length piece_count
piece_length piece_of prove seal_piece spans
"""
PAIRING = """
Candidate CodeKind Enrolment GivenCode NewDevice Offer OldDevice PairingCode read_code
"""
ROSTER = """
MAX_ENTRY MAX_NAME Addition Composed Entry EntryType Link Random RecoveryKey Removal Roster RosterDevice Rotation Signer
compose_change compose_close compose_genesis decode_entry decode_signer follow_links open_name open_wrap seal_name
unreached
"""
SEGMENTS = """
LIVE_SUMMARY MAX_HEADER MAX_PACKED SUMMARY Head OpenedSegment Position SealedSegment SegmentClass SegmentHeader
SegmentKind Summary VerifiedHeader body_length check_chunks check_content check_parts decode_header decode_summary
header_identifier open_segment seal_segment sign_header summarize verify_header view_hash
"""


def test_public_names_stay() -> None:
    for package, names in ((files, FILES), (pairing, PAIRING), (roster, ROSTER), (segments, SEGMENTS)):
        assert package.__all__ == names.split()
        assert all(hasattr(package, name) for name in names.split())
