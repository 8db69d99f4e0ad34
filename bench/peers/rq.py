"""RQ on Redis: SimpleWorker, which does not fork for each job and so is its fastest; jobs are
removed when done, and results not kept."""

from bench.peers.python_peer import RedisPeer


class RQ(RedisPeer):
    title = "RQ on Redis, everysec"
    bulk = "enqueue_many, 100 per call"
    drain = "SimpleWorker"
    name = "rq"
    requirements = ("rq", "redis[hiredis]")
