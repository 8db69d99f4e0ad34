"""holdfastd with one rule broken, for tests that must fail: `sabotaged_daemon.py RULE serve …`.

says_first: what a batch leads to is said 50 ms before the batch is written.
no_fence: an ack is taken from whoever sends it, with whatever token.
"""

import asyncio
import sys
from typing import Any

from holdfastd.__main__ import main
from holdfastd.engine.model import Token
from holdfastd.engine.working import Working
from holdfastd.pipeline import Pipeline


def says_first() -> None:
    honest = Pipeline._write

    async def write(self: Pipeline) -> None:
        closing = self.engine.close_batch

        def close_and_say() -> Any:
            batch, outputs = closing()
            if self._outlet is not None:
                self._outlet.send(outputs)
            return batch, []

        self.engine.close_batch = close_and_say  # type: ignore[method-assign]  # for this call only
        try:
            await honest(self)
        finally:
            self.engine.close_batch = closing  # type: ignore[method-assign]  # as it was

    apply = Pipeline._apply

    async def apply_late(self: Pipeline, batch: Any) -> None:
        await asyncio.sleep(0.05)  # so that a kill meets the gap
        await apply(self, batch)

    Pipeline._apply = apply_late  # type: ignore[method-assign]  # the sabotage
    Pipeline._write = write  # type: ignore[method-assign]  # the sabotage


def no_fence() -> None:
    ack = Working.ack

    def unfenced(self: Working, session: Any, command: Any, found: Any, moment: Any) -> Any:
        for held, _ in command.items:
            queue = self._partition.queues.get(held.queue)
            job = queue.jobs.get(held.id) if queue is not None else None
            if job is not None and job.token in self._partition.leases:
                holder = self._partition.sessions_by_key[job.session]
                session.leases[held.token] = holder.leases.pop(job.token)
                self._partition.leases[held.token] = self._partition.leases.pop(job.token)
                job.token, job.session = Token(held.token), session.key
        return ack(self, session, command, found, moment)

    Working.ack = unfenced  # type: ignore[method-assign]  # the sabotage


if __name__ == "__main__":
    {"says_first": says_first, "no_fence": no_fence}[sys.argv.pop(1)]()
    main()
