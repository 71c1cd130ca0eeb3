"""A server on a free port of loopback that does what a real one does not."""

import asyncio
from abc import ABC, abstractmethod
from typing import Self


class StandIn(ABC):
    """Listen while entered; each connection is served by `_serve`."""

    port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
