"""The first of very many: in order, and the loop has its turns."""

import asyncio

from holdfastd.web.ranking import SLICE, first

MANY = [(number * 7919) % 100_003 for number in range(10 * SLICE)]


async def test_the_first_are_found_in_order_from_either_end() -> None:
    assert await first(MANY, 50, lambda each: each) == sorted(MANY)[:50]
    assert await first(MANY, 50, lambda each: each, is_reversed=True) == sorted(MANY)[:-51:-1]
    assert await first([], 50, lambda each: each) == []
    assert await first([3, 1, 2], 50, lambda each: each) == [1, 2, 3]


async def test_others_have_their_turns_meanwhile() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await first(MANY, 50, lambda each: each)
    counting.cancel()
    assert turns >= len(MANY) // SLICE
