"""commands.py: what is asked."""

from holdfastd.engine.commands import PutSchedule
from holdfastd.engine.recurrence import Every
from holdfastd.engine.schedules import ScheduleSpec


def test_a_schedule_is_put_into_the_queue_of_its_jobs() -> None:
    spec = ScheduleSpec("mail", "s", Every(60_000), "work", b"data")
    assert PutSchedule(spec).queue == "mail"
