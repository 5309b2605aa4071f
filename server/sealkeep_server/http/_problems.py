"""Problems on the wire: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json

from aiohttp import web

from sealkeep_protocol.problems import PROBLEMS, TYPE_PREFIX
from sealkeep_server.problems import ProblemError

MEDIA_TYPE = "application/problem+json"


def problem_body(problem: ProblemError) -> bytes:
    """The problem object. Its members are ours; nothing of the request stands in it."""
    # REL-01: "An error MUST be `application/problem+json` (RFC 9457) with a member `code` from §9.1, whoever raised it."
    title = PROBLEMS[problem.code].title
    members = {"type": TYPE_PREFIX + problem.code, "title": title, "status": problem.status, "code": problem.code}
    if problem.detail:
        members["detail"] = problem.detail
    return json.dumps(members | problem.members).encode()


def problem_response(problem: ProblemError) -> web.Response:
    headers = dict(problem.headers)
    if problem.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    response = web.Response(status=problem.status, body=problem_body(problem), content_type=MEDIA_TYPE, headers=headers)
    if problem.close:
        response.force_close()
    return response
