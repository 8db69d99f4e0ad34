"""Style sheets, scripts and icons of the dashboard: read and packed once, served from memory.

Their addresses hold a digest of all of them, so that a browser may keep them for good and still
gets the new ones with the daemon's next version; modules find each other by relative addresses.
There are 60 KB of them at most, compressed, which a test holds.
"""

import gzip
import hashlib
import re
from pathlib import Path
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).with_name("static")
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Files of other kinds (licences, vendor.toml) are not served."""
KEPT: Final = "public, max-age=31536000, immutable"
"""A year is what the field says for "for good" (RFC 9111 has no word for it)."""
DIGEST_LENGTH: Final = 12
VENDOR: Final = "vendor"
"""Files of others are served byte for byte."""
_COMMENT: Final = re.compile(r"^ *//.*\n|^ */\*[^*]*\*/\n|^ +", re.MULTILINE)
"""Lines that are nothing else, and indentation: a tenth of our own files, packed."""


class Asset(NamedTuple):
    type: str
    plain: bytes
    packed: bytes
    """With gzip."""


class Assets:
    """Attributes:
    version: changes with any of the files. packed_bytes: all of them, compressed.
    """

    def __init__(self, folder: Path = FOLDER):
        paths = sorted(path for path in folder.rglob("*") if path.suffix in TYPES)
        self._assets = {path.relative_to(folder).as_posix(): _read(path) for path in paths}
        digest = hashlib.sha256()
        for name, asset in self._assets.items():
            digest.update(f"{name}\0{len(asset.plain)}\0".encode() + asset.plain)
        self.version = digest.hexdigest()[:DIGEST_LENGTH]
        self.packed_bytes = sum(len(asset.packed) for asset in self._assets.values())

    def url(self, name: str) -> str:
        """Of a file, by its path below `static`. Raises KeyError: there is none."""
        if name not in self._assets:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"

    async def serve(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        # A page of the daemon before this one may ask for its version: it gets ours, for now.
        is_ours = request.path_params["version"] == self.version
        headers = {
            "Content-Type": asset.type,
            "Cache-Control": KEPT if is_ours else "no-store",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, headers={**headers, "Content-Encoding": "gzip"})
        return Response(asset.plain, headers=headers)

    def routes(self) -> list[Route]:
        return [Route("/static/{version}/{name:path}", self.serve)]


def _read(path: Path) -> Asset:
    plain = path.read_bytes() if path.parent.name == VENDOR else _lean(path.read_text()).encode()
    # Without a time in it, the same file gives the same bytes.
    return Asset(TYPES[path.suffix], plain, gzip.compress(plain, mtime=0))


def _lean(text: str) -> str:
    """Without comments and indentation, which browsers do not need."""
    return _COMMENT.sub("", text)
