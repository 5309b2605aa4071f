"""The control interface: faults on and off, and what was asked, from another process. JSON over HTTP, on a port of its own.

    GET    /catalogue           → {"rollback": {"says": "…", "parameters": {"position": "int | None", …}}, …}
    GET    /faults              → [{"number": 3, "fault": "drop", "met": 1}, …]
    POST   /faults              {"fault": "drop", "parameters": {"device": 1, "seq": 4}, "account": hex, "door": text,
                                 "device": number, "routes": [text, …], "times": number, "skip": number}  → {"number": 3}
    DELETE /faults              lifts all
    DELETE /faults/{number}     lifts one
    GET    /requests?after=N    → [{"number": …, "route": …, "door": …, "account": hex, "signer": [0, 1], "query": {…},
                                 "status": 200, "faults": [3]}, …]
    POST   /snapshots           → {"snapshot": 1}; POST /snapshots/{number} goes back to it
    POST   /snapshots/{number}/put-back    the relay is restored from it as from a backup, and says so

Everything but `fault` may be left out. What is wrong with a request is a text with status 400 or 404.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sealkeep_conformance.relay._hostile import Hostile, Snapshot
from sealkeep_conformance.relay._question import ROUTES
from sealkeep_conformance.relay._scope import Asked, Scope
from sealkeep_conformance.relay.faults import FAULTS, describe, make_fault, parameters
from sealkeep_protocol.types import AccountId

_SCOPE = {"door": str, "device": int, "times": int, "skip": int}


class Control:
    """The handlers over one relay."""

    def __init__(self, hostile: Hostile) -> None:
        self._hostile = hostile
        self._snapshots: dict[int, Snapshot] = {}
        self._numbers = itertools.count(1)

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/catalogue", self._catalogue),
                web.get("/faults", self._faults),
                web.post("/faults", self._inject),
                web.delete("/faults", self._lift_all),
                web.delete(r"/faults/{number:\d+}", self._lift),
                web.get("/requests", self._requests),
                web.post("/snapshots", self._snapshot),
                web.post(r"/snapshots/{number:\d+}", self._restore),
                web.post(r"/snapshots/{number:\d+}/put-back", self._put_back),
            ]
        )
        return app

    async def _catalogue(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                name: {
                    "says": describe(kind),
                    "parameters": {field.name: str(field.type) for field in parameters(kind)},
                }
                for name, kind in sorted(FAULTS.items())
            }
        )

    async def _faults(self, _: web.Request) -> web.Response:
        found = list(self._hostile.injected.values())
        return web.json_response([{"number": one.number, "fault": one.fault.name, "met": one.met} for one in found])

    async def _inject(self, request: web.Request) -> web.Response:
        try:
            asked = await request.json()
            if not isinstance(asked, dict):
                raise ValueError("an object is wanted")
            fault = make_fault(asked.pop("fault", ""), asked.pop("parameters", {}))
            number = self._hostile.inject(fault, _scope(asked))
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        return web.json_response({"number": number})

    async def _lift_all(self, _: web.Request) -> web.Response:
        self._hostile.lift()
        return web.json_response({})

    async def _lift(self, request: web.Request) -> web.Response:
        try:
            self._hostile.lift(int(request.match_info["number"]))
        except KeyError:
            return web.Response(status=404, text="no such fault is on\n")
        return web.json_response({})

    async def _requests(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not after.isdecimal():
            return web.Response(status=400, text="after is a number\n")
        return web.json_response([_told(asked) for asked in list(self._hostile.log) if asked.number > int(after)])

    async def _snapshot(self, _: web.Request) -> web.Response:
        number = next(self._numbers)
        self._snapshots[number] = self._hostile.snapshot()
        return web.json_response({"snapshot": number})

    async def _restore(self, request: web.Request) -> web.Response:
        return self._go_back(request, self._hostile.restore)

    async def _put_back(self, request: web.Request) -> web.Response:
        return self._go_back(request, self._hostile.put_back)

    def _go_back(self, request: web.Request, to: Callable[[Snapshot], None]) -> web.Response:
        snapshot = self._snapshots.get(int(request.match_info["number"]))
        if snapshot is None:
            return web.Response(status=404, text="no such snapshot was made\n")
        to(snapshot)
        return web.json_response({})


def _scope(asked: dict[str, Any]) -> Scope:
    """Raises `ValueError`."""
    account, routes = asked.pop("account", None), asked.pop("routes", None)
    if routes is not None and not (isinstance(routes, list) and all(route in ROUTES for route in routes)):
        raise ValueError(f"the routes are: {', '.join(ROUTES)}")
    for name, value in asked.items():
        if name not in _SCOPE or type(value) is not _SCOPE[name]:
            raise ValueError(f"{name} is not what a fault can be for")
    return Scope(
        None if account is None else AccountId(bytes.fromhex(account)),
        routes=None if routes is None else tuple(routes),
        **asked,
    )


def _told(asked: Asked) -> dict[str, Any]:
    question = asked.question
    return {
        "number": asked.number,
        "route": question.route,
        "door": question.door,
        "account": None if question.account is None else question.account.hex(),
        "signer": None if question.signer is None else list(question.signer),
        "query": dict(question.query),
        "status": asked.status,
        "faults": list(asked.faults),
    }
