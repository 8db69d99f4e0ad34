"""SAQ on Redis: asyncio; it adds one job per call, so its fastest form is many calls at once."""

from bench.peers.python_peer import RedisPeer


class SAQ(RedisPeer):
    title = "SAQ on Redis, everysec"
    bulk = "100 enqueues at once"
    drain = "concurrency 100"
    name = "saq"
    requirements = ("saq[redis,hiredis]", "typing_extensions")
