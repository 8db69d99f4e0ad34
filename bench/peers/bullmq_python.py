"""BullMQ on Redis with its Python client: addBulk of 500."""

from bench.peers import servers
from bench.peers.python_peer import RedisPeer


class BullMQPython(RedisPeer):
    title = "BullMQ on Redis, everysec (Python)"
    bulk = "addBulk, 500 per call"
    drain = "concurrency 100"
    name = "bullmq"
    requirements = ("bullmq", "redis[hiredis]")


class BullMQPythonAlways(BullMQPython):
    title = "BullMQ on Redis, always (Python)"
    promise = servers.PROMISES[servers.ALWAYS]
    appendfsync = servers.ALWAYS
