"""What is sent packed, and that its length tells nothing."""

import gzip
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from holdfastd.web import packing
from holdfastd.web.packing import LEAST_BYTES, PADDING_MAX, THREAD_BYTES, Packing, padded

TEXT: Final = "".join(f"<li>job {number}</li>\n" for number in range(2_000))
OWN: Final = {"sec-fetch-site": "same-origin", "accept-encoding": "gzip, br"}


async def page(request: Request) -> Response:
    return PlainTextResponse(TEXT[: int(request.query_params.get("length", len(TEXT)))])


async def lines(request: Request) -> Response:
    async def some() -> AsyncIterator[str]:
        for start in range(0, len(TEXT), 1_000):
            yield TEXT[start : start + 1_000]

    return StreamingResponse(some(), media_type="application/x-ndjson")


async def events(request: Request) -> Response:
    def some() -> Iterator[str]:
        yield f"data: {'x' * 1_000}\n\n"

    return StreamingResponse(some(), media_type="text/event-stream")


async def asset(request: Request) -> Response:
    return Response(gzip.compress(TEXT.encode()), headers={"content-encoding": "gzip"})


ROUTES: Final = {"/page": page, "/lines": lines, "/events": events, "/asset": asset}


async def get(path: str, **headers: str) -> httpx2.Response:
    """httpx2 unpacks what it gets: `content` is as it was."""
    app: Any = Packing(Starlette(routes=[Route(*each) for each in ROUTES.items()]))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.get(path, headers={"accept-encoding": "identity", **sent})


@pytest.mark.parametrize("path", ["/page", "/lines"])
async def test_a_page_is_packed_for_who_takes_it_and_whole_when_it_is_unpacked(path: str) -> None:
    answer = await get(path, **OWN)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == TEXT
    assert answer.headers["vary"] == "Accept-Encoding"
    plain = await get(path)
    assert "content-encoding" not in plain.headers
    assert plain.text == TEXT


async def test_the_length_that_is_told_is_that_of_what_is_sent() -> None:
    answer = await get("/page", **OWN)
    assert int(answer.headers["content-length"]) == answer.num_bytes_downloaded < len(TEXT) / 5


async def test_streams_of_events_and_what_is_packed_already_go_as_they_are() -> None:
    stream = await get("/events", **OWN)
    assert "content-encoding" not in stream.headers
    assert stream.text.startswith("data: x")
    assert (await get("/asset", **OWN)).text == TEXT


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accept_encoding": "br"},
        {"accept_encoding": "gzip;q=0"},
        {"accept_encoding": "gzip", "sec_fetch_site": "cross-site"},
        {"accept_encoding": "gzip", "sec_fetch_site": "same-site"},
    ],
)
async def test_who_does_not_take_it_and_who_was_made_to_ask_gets_it_plain(
    headers: dict[str, str],
) -> None:
    answer = await get("/page", **headers)
    assert "content-encoding" not in answer.headers
    assert answer.text == TEXT


async def test_what_is_short_stays_as_it_is() -> None:
    short = await get(f"/page?length={LEAST_BYTES - 1}", **OWN)
    assert "content-encoding" not in short.headers
    for length in (LEAST_BYTES, THREAD_BYTES - 1, THREAD_BYTES):
        answer = await get(f"/page?length={length}", **OWN)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.text == TEXT[:length]


async def test_the_same_page_is_not_always_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener who compares lengths compares these."""

    async def lengths() -> set[str]:
        return {(await get("/page", **OWN)).headers["content-length"] for _ in range(20)}

    assert len(await lengths()) > 5
    monkeypatch.setattr(packing, "PADDING_MAX", 0)  # the twin
    assert len(await lengths()) == 1


@pytest.mark.parametrize("count", [0, 1, PADDING_MAX])
def test_padding_is_a_comment_that_every_reader_skips(count: int) -> None:
    packed = gzip.compress(TEXT.encode())
    longer = padded(packed, count)
    assert len(longer) == len(packed) + count + 1
    assert gzip.decompress(longer) == TEXT.encode()
