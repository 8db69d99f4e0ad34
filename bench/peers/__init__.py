"""The field, one file per product: `make bench-peers`. See bench/README.md."""

from typing import Final

from bench.peers import (
    arq,
    beanstalkd,
    bullmq,
    bullmq_python,
    bunqueue,
    celery,
    dramatiq,
    holdfast,
    huey,
    procrastinate,
    rabbitmq,
    rq,
    saq,
)
from bench.peers.peer import Peer

OURS: Final[dict[str, type[Peer]]] = {
    "holdfast": holdfast.HoldfastRaw,
    "holdfast-python": holdfast.HoldfastPython,
}
PEERS: Final[dict[str, type[Peer]]] = {
    "bullmq": bullmq.BullMQ,
    "bullmq-always": bullmq.BullMQAlways,
    "bullmq-python": bullmq_python.BullMQPython,
    "bullmq-python-always": bullmq_python.BullMQPythonAlways,
    "beanstalkd": beanstalkd.Beanstalkd,
    "beanstalkd-fsync": beanstalkd.BeanstalkdFsync,
    "bunqueue": bunqueue.Bunqueue,
    "bunqueue-durable": bunqueue.BunqueueDurable,
    "rabbitmq": rabbitmq.RabbitMQ,
    "procrastinate": procrastinate.Procrastinate,
    "celery": celery.Celery,
    "dramatiq": dramatiq.Dramatiq,
    "rq": rq.RQ,
    "saq": saq.SAQ,
    "arq": arq.Arq,
    "huey": huey.Huey,
}
"""By the names that PEERS= takes."""
