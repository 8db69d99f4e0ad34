"""head.py: which jobs of an order are in memory."""

import pytest

from holdfastd.engine.head import LEFT_ENTRIES_MAX, NOTHING, Head
from support.engine import bare_job


def taken(head: Head) -> list[int]:
    seqs = []
    while (first := head.peek()) is not None:
        seqs.append(int(first.seq))
        head.pop()
    return seqs


# ---- order and horizon ---------------------------------------------------------------------------


def test_a_head_gives_jobs_in_the_order_of_their_keys() -> None:
    head = Head(10, 1000)
    for number in (3, 1, 2):
        assert head.place(bare_job(number), 0, number)
    head.place(bare_job(4), -1, 9)
    assert taken(head) == [4, 1, 2, 3]
    assert (head.count, head.bytes) == (0, 0)


def test_a_full_head_lowers_its_horizon_to_the_first_job_without_room() -> None:
    head = Head(2, 1000)
    assert [head.place(bare_job(number), 0, number) for number in (1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]
    assert head.horizon == (0, 3)
    assert head.page_after() == (0, 2)
    assert not head.is_low
    taken(head)
    assert head.is_low


def test_bytes_fill_a_head_as_well() -> None:
    head = Head(100, 10)
    placed = [head.place(bare_job(number, payload=b"x" * 6), 0, number) for number in (1, 2, 3)]
    assert placed == [True, True, False]


def test_a_job_that_belongs_into_the_middle_is_let_in_and_the_tail_is_cut() -> None:
    head = Head(2, 1000)
    for number in (1, 2):
        head.place(bare_job(number), 5, number)
    for number in (3, 4, 5):
        assert head.place(bare_job(number), 1, number)
    assert head.is_overfull
    assert [dropped.seq for dropped in head.cut()] == [5, 1, 2]
    assert head.horizon == (1, 5)
    assert taken(head) == [3, 4]


def test_a_job_that_left_otherwise_is_skipped() -> None:
    head = Head(10, 1000)
    jobs = [bare_job(number) for number in (1, 2, 3)]
    for each in jobs:
        head.place(each, 0, each.seq)
    head.unplace(jobs[0])
    head.unplace(jobs[1])
    head.place(jobs[0], 0, 9)
    assert head.first(5) == [jobs[2], jobs[0]]
    assert taken(head) == [3, 1]


def test_a_cleared_head_takes_nothing_below_nothing() -> None:
    head = Head(10, 1000)
    head.place(bare_job(1), 0, 1)
    assert [cleared.seq for cleared in head.clear(NOTHING)] == [1]
    assert not head.place(bare_job(2), 0, 2)
    assert head.page_after() is None
    assert len(head) == 0


def test_a_payload_that_was_read_counts() -> None:
    head = Head(10, 1000)
    bare = bare_job(1, payload=None)
    head.place(bare, 0, 1)
    head.fill(bare, b"12345")
    assert head.bytes == 5
    head.unplace(bare)
    assert head.bytes == 0


# ---- entries that were left behind ---------------------------------------------------------------


def test_entries_of_jobs_that_left_do_not_pile_up() -> None:
    """Such as a reminder in an hour that is set and taken back all day long."""
    head = Head(10_000, 1_000_000)
    head.place(bare_job(1), 0, 1)
    for number in range(2, 5_000):
        job = bare_job(number)
        head.place(job, 1, number)
        head.unplace(job)
        assert len(head._entries) <= 200
    assert (head.count, head.bytes) == (1, 1)


def test_a_job_that_was_forgotten_and_read_again_can_take_its_old_place() -> None:
    head = Head(10, None)
    before, again = bare_job(1), bare_job(1)
    for _ in range(3):
        head.place(before, 5, 1)
        head.unplace(before)
    head.place(again, 5, 1)
    assert head.peek() is again


# ---- when it is low, full, too full --------------------------------------------------------------


def filled(count: int, size: int = 1, bytes_max: int | None = 100) -> Head:
    """A head for 4 jobs with so many of so many bytes, and more on disk."""
    head = Head(4, bytes_max)
    for number in reversed(range(count)):
        assert head.place(bare_job(number, payload=b"x" * size), 0, number)
    head.horizon = (0, count)
    return head


@pytest.mark.parametrize(("count", "is_low"), [(0, True), (2, True), (3, False), (4, False)])
def test_it_is_low_when_half_of_it_is_left(count: int, is_low: bool) -> None:
    assert filled(count).is_low is is_low
    assert filled(count, bytes_max=None).is_low is is_low


@pytest.mark.parametrize(("size", "is_low"), [(25, True), (26, False)])
def test_few_jobs_that_fill_it_are_not_low(size: int, is_low: bool) -> None:
    assert filled(2, size).is_low is is_low
    assert filled(2, size, bytes_max=None).is_low


def test_a_head_with_all_there_is_is_never_low() -> None:
    assert not Head(4, 100).is_low


@pytest.mark.parametrize(
    ("count", "size", "is_full"), [(3, 1, False), (4, 1, True), (1, 99, False), (1, 100, True)]
)
def test_it_is_full_by_jobs_or_by_bytes(count: int, size: int, is_full: bool) -> None:
    assert filled(count, size).is_full is is_full
    assert filled(count, size, bytes_max=None).is_full is (count == 4)


@pytest.mark.parametrize(
    ("count", "size", "is_overfull"),
    [(8, 1, False), (9, 1, True), (2, 100, False), (2, 101, True), (1, 300, False)],
)
def test_it_is_too_full_at_twice_of_either_but_one_job_always_has_room(
    count: int, size: int, is_overfull: bool
) -> None:
    assert filled(count, size).is_overfull is is_overfull
    assert filled(count, size, bytes_max=None).is_overfull is (count == 9)


# ---- placing, leaving ----------------------------------------------------------------------------


def test_a_job_at_the_horizon_stays_beyond_it_and_one_before_it_is_let_in() -> None:
    head = filled(1)
    assert head.horizon == (0, 1)
    late, early = bare_job(1), bare_job(2)
    assert not head.place(late, 0, 1)
    assert late.place is None
    assert head.place(early, 0, 0)
    assert early.place is not None


def test_a_full_head_lets_in_what_comes_before_its_last_and_nothing_else() -> None:
    head = Head(1, 100)
    head.place(bare_job(1), 0, 5)
    assert head.place(bare_job(2), 0, 4)
    assert not head.place(bare_job(3), 0, 6)
    assert head.horizon == (0, 6)


def test_how_many_come_before_a_job_counts_those_that_are_there() -> None:
    head = Head(10, None)
    jobs = [bare_job(number) for number in range(6)]
    for number, each in enumerate(jobs):
        head.place(each, number // 3, number)
    assert [head.count_before(each) for each in jobs] == [0, 1, 2, 3, 4, 5]
    head.unplace(jobs[1])
    assert [head.count_before(each) for each in (jobs[0], jobs[2], jobs[5])] == [0, 1, 4]


def test_the_first_ones_are_as_many_as_asked_for() -> None:
    head = filled(4)
    assert [len(head.first(count)) for count in (1, 3, 4, 9)] == [1, 3, 4, 4]
    assert head.first(1) == [head.peek()]
    head.pop()
    assert len(head.first(9)) == 3


def test_bytes_are_those_of_the_payloads_that_are_there() -> None:
    head, bare, full = Head(10, 100), bare_job(1, payload=None), bare_job(2, payload=b"12345")
    head.place(bare, 0, 1)
    head.place(full, 0, 2)
    assert (head.bytes, head.count) == (5, 2)
    head.unplace(bare)
    assert (head.bytes, head.count) == (5, 1)
    assert head.peek() is full
    head.pop()
    assert (head.bytes, head.count, full.place) == (0, 0, None)


def test_where_bytes_are_not_bounded_they_are_not_counted() -> None:
    assert filled(3, bytes_max=None).bytes == 0


def test_few_entries_that_were_left_behind_are_let_be_however_many_are_there() -> None:
    long = Head(1_000, None)
    jobs = [bare_job(number) for number in range(2 * LEFT_ENTRIES_MAX)]
    for number, job in enumerate(jobs):
        long.place(job, 0, number)
    long.unplace(jobs[0])
    assert len(long._entries) == len(jobs)


def test_few_entries_that_were_left_behind_are_let_be() -> None:
    head = Head(1_000, None)
    for number in range(LEFT_ENTRIES_MAX + 1):
        job = bare_job(number)
        head.place(job, 0, number)
        assert len(head._entries) == number + 1
        head.unplace(job)
    assert head._entries == []


# ---- clearing and cutting ------------------------------------------------------------------------


def test_a_cleared_head_gives_its_jobs_in_order_and_begins_anew() -> None:
    head = filled(4)
    jobs = head.clear(horizon=None)
    assert [job.seq for job in jobs] == [0, 1, 2, 3]
    assert [job.place for job in jobs] == [None] * 4
    assert (head.count, head.bytes, head.horizon, head.page_after()) == (0, 0, None, None)
    assert head._entries == []
    assert head.peek() is None
    assert [head.place(bare_job(number), -1, number) for number in range(5)] == [True] * 4 + [False]


def test_a_head_that_is_not_too_full_is_not_cut() -> None:
    head = filled(4)
    assert head.cut() == []
    assert (head.count, head.horizon) == (4, (0, 4))
    assert taken(head) == [0, 1, 2, 3]


def test_a_head_is_cut_by_bytes_as_well() -> None:
    head = filled(4, size=60)
    assert [job.seq for job in head.cut()] == [2, 3]
    assert (head.count, head.bytes, head.horizon) == (2, 120, (0, 2))
    assert head.page_after() == (0, 1)
