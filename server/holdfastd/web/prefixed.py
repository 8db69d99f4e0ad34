"""The port below a path of another site: `[http] prefix`, for reverse proxies.

Inside, there is no prefix: routes, addresses, redirects are what they are without one. It is taken
from what is asked for here, if the proxy has left it there, and put before what a browser is sent
to: in headers here, in pages by their templates (`pages.rendering`). So a page, a route or a
redirect that is new has it of itself.
"""

import re
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias

from holdfastd.web.safe.shield import App, Message, Receive, Send

Header: TypeAlias = tuple[bytes, bytes]
_REFRESH: Final = re.compile(rb"(\s*\d+\s*;\s*url=)(?=/)", re.IGNORECASE)
_COOKIE_PATH: Final = re.compile(rb"(;\s*path=)/(?=;|$)", re.IGNORECASE)


class Prefixed:
    """Around everything."""

    def __init__(self, app: App, prefix: str):
        """prefix: such as "/holdfast"; "" = none."""
        self._app = app
        self._prefix = prefix
        self._raw = prefix.encode("ascii")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._prefix:
            await self._app(scope, receive, send)
            return
        await self._app(self._inside(scope), receive, self._outside(send))

    def _inside(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """As asked for without the prefix: some proxies take it away, others leave it."""
        path, raw = scope["path"], scope.get("raw_path")
        if path != self._prefix and not path.startswith(f"{self._prefix}/"):
            return scope
        inside = {**scope, "path": path[len(self._prefix) :] or "/"}
        if raw is not None and raw.startswith(self._raw):
            inside["raw_path"] = raw[len(self._raw) :] or b"/"
        return inside

    def _outside(self, send: Send) -> Send:
        async def send_outside(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*self._headers(message.get("headers", ()))]
            await send(message)

        return send_outside

    def _headers(self, headers: Iterable[Header]) -> Iterable[Header]:
        for name, value in headers:
            change = _CHANGES.get(name.lower())
            yield name, value if change is None else change(value, self._raw)


def _address(value: bytes, prefix: bytes) -> bytes:
    """A path of ours; of another site none of our answers speaks."""
    return prefix + value if value.startswith(b"/") else value


def _refresh(value: bytes, prefix: bytes) -> bytes:
    return _REFRESH.sub(lambda found: found[1] + prefix, value)


def _cookie(value: bytes, prefix: bytes) -> bytes:
    """It is not for what else the site has."""
    return _COOKIE_PATH.sub(lambda found: found[1] + prefix, value)


_CHANGES: Final[dict[bytes, Callable[[bytes, bytes], bytes]]] = {
    b"location": _address,
    b"hx-redirect": _address,
    b"refresh": _refresh,
    b"set-cookie": _cookie,
}
