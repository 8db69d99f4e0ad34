"""arq on Redis: asyncio; it adds one job per call, so its fastest form is many calls at once. Its
worker polls; every 10 ms here instead of every 500."""

from bench.peers.python_peer import RedisPeer


class Arq(RedisPeer):
    title = "arq on Redis, everysec"
    bulk = "100 enqueues at once"
    drain = "100 jobs at once, polls every 10 ms"
    name = "arq"
    requirements = ("arq", "redis[hiredis]")
