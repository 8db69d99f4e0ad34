"""Pages as a browser asks for them, with as little work of our own as may be."""

import html
import http.client
import re
import time
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

_ASSET: Final = re.compile(r'(?:src|href)="(/static/[^"]+)"')
_LIVE: Final = re.compile(r'hx-sse:connect="([^"]+)"')
DEADLINE_S: Final = 60.0


class Answer(NamedTuple):
    body: bytes
    """As it came: compressed if that was asked for."""
    ms: float
    """From before the request until the last byte."""


class Browsing:
    """One connection, kept open."""

    def __init__(self, address: str):
        """address: HOST:PORT."""
        host, _, port = address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)

    def get(self, path: str, **headers: str) -> Answer:
        """Raises RuntimeError: the answer is none that a person wants."""
        started = time.perf_counter()
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        ms = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {body[:500]!r}")
        return Answer(body, ms)

    def page(self, path: str) -> str:
        return self.get(path).body.decode()

    def times_ms(self, path: str, count: int) -> list[float]:
        """Of so many, in rising order; one before them is not counted."""
        self.get(path)
        return sorted(self.get(path).ms for _ in range(count))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def assets_of(page: str) -> set[str]:
    """Addresses of what a page needs of ours."""
    return {html.unescape(path) for path in _ASSET.findall(page)}


def all_assets(browsing: Browsing, paths: list[str]) -> dict[str, int]:
    """What these pages need, modules that modules import among it: bytes on the wire by address."""
    sizes: dict[str, int] = {}
    wanted = {asset for path in paths for asset in assets_of(browsing.page(path))}
    while wanted:
        path = wanted.pop()
        sizes[path] = len(browsing.get(path, **{"Accept-Encoding": "gzip"}).body)
        wanted |= set(_imported(path, browsing.page(path))) - sizes.keys()
    return sizes


def _imported(path: str, script: str) -> Iterator[str]:
    """Modules are imported as `./name.js`."""
    if path.partition("?")[0].endswith(".js"):
        folder = path.partition("?")[0].rpartition("/")[0]
        for name in re.findall(r'from\s*"\./([^"]+)"|import\s*"\./([^"]+)"', script):
            yield f"{folder}/{''.join(name)}"


def stream_of(page: str) -> str:
    """Address of the stream that a page keeps open while it is seen."""
    found = _LIVE.search(page)
    if found is None:
        raise RuntimeError("the page has no stream")
    return html.unescape(found[1])
