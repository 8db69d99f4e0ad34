"""The client's side of a connection, without a socket."""

import asyncio
from typing import Any

from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection


class Wire(asyncio.Transport):
    """Takes what the peer writes, and what it does to the reading."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Any] = []
        self.reads = True
        self.client = ClientConnection()

    def write(self, data: Any) -> None:
        self.said += self.client.receive(bytes(data))

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def requests_answered(self) -> list[int]:
        return [said.request for said in self.said if isinstance(said, wire.Reply)]
