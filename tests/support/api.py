"""Asking the API of a daemon in another process, as a program without a client would."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Final, NamedTuple

PREFIX: Final = "/api/v1"


class Said(NamedTuple):
    status: int
    body: Any
    """JSON; None = nothing."""
    headers: dict[str, str]
    """Names in lower case."""

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class Api:
    """address: HOST:PORT. key: None = without one."""

    def __init__(self, address: str, key: str | None = None):
        self.address = address
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def get(self, path: str, **headers: str) -> Said:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Said:
        return self.ask("POST", path, body, headers)

    def patch(self, path: str, body: Any) -> Said:
        return self.ask("PATCH", path, body, {})

    def delete(self, path: str) -> Said:
        return self.ask("DELETE", path, None, {})

    def ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Said:
        """body: bytes as they are, anything else as JSON. Underscores in headers are dashes."""
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self._headers
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        with closing(HTTPConnection(self.address, timeout=20)) as connection:
            connection.request(method, PREFIX + path, raw, sent)
            response = connection.getresponse()
            text = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Said(response.status, json.loads(text) if text else None, found)

    @contextmanager
    def events(self, path: str, **headers: str) -> Iterator["Events"]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self._headers
        with closing(HTTPConnection(self.address, timeout=20)) as connection:
            connection.request("GET", PREFIX + path, headers=sent)
            yield Events(connection.getresponse())


class Event(NamedTuple):
    name: str
    data: Any
    id: str | None


class Events:
    """What comes, one after the other, as a browser's EventSource reads it.

    Attributes:
        last_id: what it would come back with.
    """

    def __init__(self, response: HTTPResponse):
        self.status = response.status
        self.last_id: str | None = None
        self._response = response

    def next(self) -> Event | None:
        """None = the stream has ended."""
        fields: dict[str, str] = {}
        while True:
            try:
                line = self._response.readline().decode()
            except (TimeoutError, OSError) as error:
                raise AssertionError(f"nothing came: {error}") from error
            if not line:
                return None
            name, _, value = line.rstrip("\n").partition(":")
            if name:
                fields[name] = value.strip()
            if line == "\n":
                self.last_id = fields.get("id", self.last_id)
                if "event" in fields:
                    data = json.loads(fields["data"])
                    return Event(fields["event"], data, fields.get("id"))
                if "id" in fields:  # the beginning: it is listened from here on
                    return Event("", None, fields["id"])
                fields = {}

    def rest(self) -> list[Event]:
        found = []
        while (event := self.next()) is not None:
            found.append(event)
        return found
