"""Searches of the daemon: asked here, answered by a process of its own (`search.process`)."""

from collections.abc import Iterable
from pathlib import Path

from holdfastd.search.found import Facets, Found
from holdfastd.search.query import Query


class Finder:
    def __init__(self, directory: Path):
        """directory: of the data; nothing is started before the first search."""
        self._directory = directory

    async def page(
        self,
        query: Query,
        allows: Iterable[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Found:
        """At most `limit` (1 to 1,000) jobs that match.

        Args:
            allows: patterns of the names of queues that may be seen; None = all.
            after: `next` of the page before; None = the first page.

        Raises:
            SearchError: BadCursor, SearchBusy or SearchBroken.
        """
        raise NotImplementedError

    async def count(self, query: Query, allows: Iterable[str] | None = None) -> Facets:
        """How many match, and what they are. Raises SearchError."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the process."""
