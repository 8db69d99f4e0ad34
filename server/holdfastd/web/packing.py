"""Answers are sent gzipped to who takes that: pages and JSON are mostly names that come again.

Streams of events are not: each event would have to be flushed by itself, and is sent once. What a
route has packed itself (assets, /metrics) goes as it is.

Compression tells a listener on the line, who sees lengths in spite of TLS, whether a text that he
made a browser ask for comes again in the answer; so he could guess what is in it, letter by letter
(the BREACH attack). It takes thousands of answers, to requests that he begins, in the name of
somebody who has logged in. Here a session's cookie does not go with what other sites begin, what a
browser says another site began is not compressed, and each answer is longer by a random number of
bytes, so that the few by which guesses differ are lost in it (Palacios et al., "Heal the Breach",
2022; what Django does too). Keys and cookies are on no page at all.
"""

import asyncio
import secrets
import zlib
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipResponder

from holdfastd.web.safe.origins import OURS
from holdfastd.web.safe.shield import App, Receive, Send

LEVEL: Final = 5
"""Of zlib. A page of 50 jobs, 88.7 KB: 9.5 KB in 0.2 ms at level 1, 8.0 in 0.5 at 5, 7.9 in 2 at
9."""
LEAST_BYTES: Final = 500
"""Below that nothing is gained: it is one packet all the same."""
THREAD_BYTES: Final = 8 * 1024
"""What is longer is packed in another thread: a page of 60 KB takes a millisecond."""
PADDING_MAX: Final = 100
"""Bytes; as in Django."""
_FLAGS_AT: Final = 3
_HAS_COMMENT: Final = 0x10
_HEAD_BYTES: Final = 10
"""Of gzip, RFC 1952, section 2.3."""


class Packing:
    """Around the application, inside of what adds headers."""

    def __init__(self, app: App):
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and may_pack(Headers(scope=scope)):
            await _Packed(self._app, LEAST_BYTES, LEVEL)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def may_pack(headers: Headers) -> bool:
    """Whether who asks takes it, and no other site has made him ask."""
    taken = {}
    for each in headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = each.partition(";")
        taken[name.strip()] = quality.replace(" ", "")
    is_taken = taken.get("gzip", taken.get("*", "q=0")) not in ("q=0", "q=0.0")
    return is_taken and headers.get("sec-fetch-site", "none") in OURS


class _Packed(GZipResponder):
    """Attributes of Starlette's: `compressor`, made when the first byte is packed."""

    _is_padded = False

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        if len(body) >= THREAD_BYTES:
            packed = await asyncio.to_thread(self._pack, body, more_body)
        else:
            packed = self._pack(body, more_body)
        if self._is_padded:
            return packed
        self._is_padded = True
        return padded(packed, secrets.randbelow(PADDING_MAX + 1))

    def _pack(self, body: bytes, more_body: bool) -> bytes:
        flush = zlib.Z_SYNC_FLUSH if more_body else zlib.Z_FINISH
        return self.compressor.compress(body) + self.compressor.flush(flush)


def padded(packed: bytes, count: int) -> bytes:
    """The beginning of a gzip file with so many bytes more, as a comment that nobody reads."""
    head = bytearray(packed[:_HEAD_BYTES])
    head[_FLAGS_AT] |= _HAS_COMMENT
    return bytes(head) + b"-" * count + b"\0" + packed[_HEAD_BYTES:]
