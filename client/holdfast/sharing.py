"""One connection per process, loop and server, which all queues share."""

import asyncio
from weakref import WeakKeyDictionary

from holdfast.access import Access
from holdfast.link import Link

_links: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Access, Link]] = WeakKeyDictionary()


def shared_link(access: Access) -> Link:
    """Of this loop; a forked child has its own."""
    links = _links.setdefault(asyncio.get_running_loop(), {})
    link = links.get(access)
    if link is None or link.is_forked:
        link = links[access] = Link(access)
    return link


async def release_link(link: Link) -> None:
    """One queue less uses it; it closes with its last user."""
    link.users -= 1
    if not link.users:
        links = _links.get(asyncio.get_running_loop(), {})
        if links.get(link.access) is link:
            del links[link.access]
        await link.close()
