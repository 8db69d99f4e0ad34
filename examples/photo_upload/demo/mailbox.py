"""A real SMTP server that can be down at first."""

import asyncio
import socket
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from email.message import Message


class Mailbox:
    """Owns a free port from the start. Until it is opened, connections are refused, as by a server
    that is down.

    Attributes:
        address: HOST:PORT. mails: what was delivered, in order; a mail sent twice is there twice.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))  # and no listen() yet
        self._server: asyncio.Server | None = None
        self.address = "{}:{}".format(*self._socket.getsockname())
        self.mails: list[Message] = []

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: SMTP(self), sock=self._socket)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._socket.close()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Called by aiosmtpd for each mail."""
        self.mails.append(message_from_bytes(envelope.content))
        return "250 kept"
