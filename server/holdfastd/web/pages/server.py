"""The server: what runs here, on which storage, by which configuration; what was done last."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import facts
from holdfastd.web.pages.site import Site

PARTS: Final = ("server-findings", "server-facts", "server-actions")
"""Elements that are sent again when they change; the blocks that fill them are called like them."""
GENERAL: Final = "holdfastd"
"""Head of what belongs to no section."""
APART: Final = ("config",)
"""What is told by a table of its own."""
GRAVITY: Final = ("bad", "warn", "unknown", "ok")
"""Of findings, the first to be read first."""


class Server:
    def __init__(self, site: Site):
        self._site = site
        site.live.topics["server"] = self.parts

    def routes(self) -> list[Route]:
        return [Route("/server", self.show)]

    async def show(self, request: Request) -> Response:
        site = self._site
        identity = await site.guard.identify(request)
        return await site.rendering.page(
            request,
            identity,
            "server.html",
            page="server",
            live="topic=server",
            **await self._values(identity),
        )

    async def parts(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """For /live. Raises Refusal."""
        ids = {name: name.removeprefix("server-") for name in PARTS}
        return await self._site.rendering.parts("server.html", ids, **await self._values(identity))

    async def _values(self, identity: Identity) -> dict[str, Any]:
        site = self._site
        site.guard.require(identity, Need.SEE_COUNTS)
        told = await site.board.server(identity)
        return {
            "sections": _sections(told, site.now_ms()),
            "config": told.get("config", []),
            "doctor": _doctor(site.upkeep.glance(identity)),
            "is_looking": site.upkeep.is_looking,
            "can_back_up": site.upkeep.can_back_up,
            "may_keep": site.guard.allows(identity, Need.KEEP),
            "actions": await site.board.actions(identity),
            "may_act": site.guard.allows(identity, Need.ACT),
        }


def _doctor(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Its findings, the worst first: `{at_ms, findings: [(name, {status, text, advice})], fine}`;
    fine = how many are ok. None = there is no report yet."""
    if report is None:
        return None
    ranked = sorted(report["checks"].items(), key=lambda check: GRAVITY.index(check[1]["status"]))
    fine = sum(check["status"] == "ok" for _, check in ranked)
    return {"at_ms": report["at_ms"], "findings": ranked, "fine": fine}


def _sections(told: Mapping[str, Any], now_ms: int) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Heads with names and values, ready to be shown."""
    shown = {key: value for key, value in told.items() if key not in APART}
    general = {key: value for key, value in shown.items() if not isinstance(value, Mapping)}
    sections = [(GENERAL, general)]
    sections += [
        (facts.name(key), dict(value)) for key, value in shown.items() if isinstance(value, Mapping)
    ]
    return [
        (head, [(facts.name(key), facts.value(key, each, now_ms)) for key, each in pairs.items()])
        for head, pairs in sections
        if pairs
    ]
