"""The HTTP port: /metrics for Prometheus, /livez and /readyz for supervisors, and what other parts
give it for people and programs; all of it behind one shield."""

import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.wire.checks import Refusal
from holdfastd.access.rights import check_metrics
from holdfastd.web.bounded import BoundedHttp
from holdfastd.web.guard import Guard
from holdfastd.web.metrics import Form, Metrics
from holdfastd.web.packing import Packing
from holdfastd.web.prefixed import Prefixed
from holdfastd.web.safe.needs import guarded
from holdfastd.web.safe.refusing import gone, refused
from holdfastd.web.safe.shield import Shield

Handler: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]


def make_app(
    metrics: Metrics,
    why_not_ready: Callable[[], str | None],
    guard: Guard,
    routes: Sequence[BaseRoute] = (),
    handlers: Mapping[type[Exception], Handler] = MappingProxyType({}),
    prefix: str = "",
) -> Prefixed:
    """The whole of what the port answers.

    Args:
        why_not_ready: None = ready.
        routes: of the other parts; each must be in `safe.needs.NEEDS`.
        handlers: of their exceptions, and in place of those here.
        prefix: path of another site below which a proxy has all of it.
    """

    async def show_metrics(request: Request) -> Response:
        check_metrics(await guard.identify(request))
        headers = request.headers
        form = Form.of(headers.get("accept", ""), headers.get("accept-encoding", ""))
        return Response(await metrics.render(form), headers=form.headers)

    async def livez(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(request: Request) -> Response:
        why = why_not_ready()
        if why is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"not ready: {why}\n", status_code=503)

    async def robots(request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    ours = [
        Route("/metrics", show_metrics),
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/robots.txt", robots),
    ]
    app = Starlette(
        routes=guarded([*ours, *routes], guard),
        exception_handlers={Refusal: refused, ClientDisconnect: gone, **handlers},
    )
    return Prefixed(Shield(Packing(app), guard), prefix)


class HttpServer(uvicorn.Server):
    """uvicorn inside the daemon's loop; signals are the daemon's."""

    def __init__(self, app: Any, host: str, port: int, tls: ssl.SSLContext | None = None):
        """tls: None = it speaks none."""
        self._tls = tls
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http=BoundedHttp,
                ws="none",
                lifespan="off",
                access_log=False,
                server_header=False,
                log_config=None,
                timeout_graceful_shutdown=1,
            )
        )

    async def listen(self, listening: socket.socket | None = None) -> tuple[str, int]:
        """Bind and accept, or accept from one that listens. Returns the address.

        Raises:
            OSError: the address is in use or not ours.
        """
        self.config.load()
        self.config.ssl = self._tls
        self.lifespan = self.config.lifespan_class(self.config)
        sock = listening or _bound(self.config.host, self.config.port)
        await self.startup(sockets=[sock])
        host, port = sock.getsockname()[:2]
        return host, port

    async def serve_until_stopped(self) -> None:
        await self.main_loop()
        await self.shutdown()

    def stop(self) -> None:
        self.should_exit = True


def _bound(host: str, port: int) -> socket.socket:
    """A socket of our own: uvicorn would exit the process where we want to say what is wrong."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.set_inheritable(True)
    except OSError:
        sock.close()
        raise
    return sock
