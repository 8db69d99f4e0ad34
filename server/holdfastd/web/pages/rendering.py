"""Templates to HTML: everything is escaped, a name that is not there is an error.

What every page needs beside its own values (who looks, theme, addresses of assets) is its `Shell`.
Templates compile once, at their first use. Pages are made in another thread: a large one takes
milliseconds, for which the event loop must not stand still.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import BaseLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from holdfastd import VERSION
from holdfastd.access.rights import Identity, Role
from holdfastd.web.assets import Assets
from holdfastd.web.pages import charts, jobrefs, jsontree, terms, views, words

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
THEME_COOKIE: Final = "holdfast_theme"
"""Written by theme.js. A cookie, so that the page comes in its colours and does not flash."""
THEMES: Final = ("auto", "light", "dark")

ADDRESSES: Final = (
    *("href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect"),
    *("data-href", "data-facets", "data-copy-from", "data-back"),
)
"""Attributes whose value is an address of ours: a browser, or a script of ours, goes there."""


class Templates(BaseLoader):
    """Those of the folder, in whose addresses a prefix stands first (`web.prefixed`). It is put
    there when a template is read: templates are written, and their values made, without one."""

    _ADDRESS: Final = re.compile(rf'(?<![\w:-])((?:{"|".join(ADDRESSES)})=")(?=/|{{{{)')
    """Up to where the address begins: with a path, or with what makes one."""

    def __init__(self, folder: Path, prefix: str):
        self._files = FileSystemLoader(folder)
        self._prefix = prefix

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        source, path, is_fresh = self._files.get_source(environment, template)
        return self._ADDRESS.sub(lambda found: found[1] + self._prefix, source), path, is_fresh


_MACROS: Final = {"ui": "ui.html", "parts": "jobs_ui.html", "timed": "schedule_ui.html"}
"""By the name under which every template has them; a block that is sent alone has no imports."""


class Look(NamedTuple):
    """What an operator chose for all pages."""

    environment: str = ""
    """Shown beside the name, such as "production"; "" = nothing."""
    colour: str = "grey"
    """Of that badge: grey, green, blue, amber or red."""
    is_read_only: bool = False


class Shell(NamedTuple):
    """What the frame around a page shows."""

    page: str
    """Which part of the navigation is current: "overview", "jobs", …; "" = none."""
    theme: str
    who: str
    """The key's name; "" = nobody had to say."""
    role: str
    """"admin", "operator", …"""
    may_act: bool
    live: str
    """Query of /live that this page watches; "" = it does not change."""
    look: Look
    version: str


class Rendering:
    def __init__(
        self,
        assets: Assets,
        now_ms: Callable[[], int],
        look: Callable[[], Look] = Look,
        prefix: str = "",
    ):
        self._look = look
        self._prefix = prefix
        self._environment = Environment(
            loader=Templates(TEMPLATES, prefix),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            asset=assets.url,
            now_ms=now_ms,
            page_url=words.page_url,
            job_url=jobrefs.job_url,
            job_ref=jobrefs.job_ref,
            schedule_url=jobrefs.schedule_url,
            term=terms.term,
        )
        self._environment.filters.update(
            ago=lambda at_ms: words.ago(at_ms, now_ms()),
            since=lambda at_ms: words.since(at_ms, now_ms()),
            instant=words.instant,
            duration=words.duration,
            number=words.number,
            short=words.short,
            percent=words.percent,
            json_tree=jsontree.tree,
            json_text=jsontree.text,
            json_line=jsontree.line,
            json_size=jsontree.size,
            first_line=words.first_line,
            clock=words.clock,
            bar=charts.bar,
            sparkline=charts.sparkline,
            limits=views.limits,
            retention=views.retention,
        )
        for name, template in _MACROS.items():
            self._environment.globals[name] = self._environment.get_template(template).module

    async def page(
        self,
        request: Request,
        identity: Identity | None,
        template: str,
        *,
        page: str = "",
        live: str = "",
        status: int = 200,
        **values: Any,
    ) -> HTMLResponse:
        """A whole page. identity: None = nobody has said who it is. live: see Shell."""
        shell = self._shell(request, identity, page, live)
        html = await asyncio.to_thread(self.text, template, shell=shell, **values)
        return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})

    async def parts(self, template: str, ids: Mapping[str, str], **values: Any) -> dict[str, str]:
        """Blocks of a template, each by itself: what is sent again when it changes.

        ids: of the element that a block fills, and the block's name. Returns HTML by element.
        """
        return await asyncio.to_thread(self._blocks, template, ids, values)

    def text(self, template: str, **values: Any) -> str:
        """Of one template; for a small one: it is made on the event loop."""
        return self._environment.get_template(template).render(**values)

    def _blocks(
        self, template: str, ids: Mapping[str, str], values: dict[str, Any]
    ) -> dict[str, str]:
        found = self._environment.get_template(template)
        return {
            element: "".join(found.blocks[name](found.new_context(values)))
            for element, name in ids.items()
        }

    def origin(self, request: Request) -> str:
        """Of this port as the browser has it, without a slash at its end."""
        return str(request.base_url).rstrip("/") + self._prefix

    def may_act(self, identity: Identity | None) -> bool:
        """Whether buttons are shown at all; each action is checked again by itself."""
        is_able = role_of(identity) in (Role.ADMIN.value, Role.OPERATOR.value)
        return is_able and not self._look().is_read_only

    def _shell(self, request: Request, identity: Identity | None, page: str, live: str) -> Shell:
        theme = request.cookies.get(THEME_COOKIE, "auto")
        return Shell(
            page,
            theme if theme in THEMES else "auto",
            identity.name if identity is not None else "",
            role_of(identity),
            self.may_act(identity),
            live,
            self._look(),
            VERSION,
        )


_STRONGEST: Final = (Role.ADMIN, Role.OPERATOR, Role.PRODUCER, Role.WORKER, Role.MONITOR)


def role_of(identity: Identity | None) -> str:
    """The strongest that it has, in a word; "" = nobody has said who it is."""
    if identity is None:
        return ""
    if identity.rights is None:
        return Role.ADMIN.value
    roles = identity.rights.roles
    return next((role.value for role in _STRONGEST if role in roles), "viewer")
