"""zones.py: time zones by their names, from the package's own data."""

from datetime import UTC, datetime, timedelta

import pytest

from holdfastd.engine.zones import UnknownZone, zone, zone_names


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    """Of what other tests have read."""
    zone.cache_clear()
    zone_names.cache_clear()


def test_a_zone_has_its_summer_time() -> None:
    berlin = zone("Europe/Berlin")
    offsets = [datetime(2026, month, 1, tzinfo=berlin).utcoffset() for month in (1, 7)]
    assert offsets == [timedelta(hours=1), timedelta(hours=2)]
    assert zone("Europe/Berlin") is berlin
    assert zone("UTC") is UTC
    assert {"Europe/Berlin", "US/Pacific"} <= zone_names()


def test_a_name_that_is_none_is_refused_with_what_may_have_been_meant() -> None:
    with pytest.raises(UnknownZone, match=r"no time zone 'Europe/Berlim': did you mean Europe/Be"):
        zone("Europe/Berlim")
    with pytest.raises(UnknownZone, match=r"'../../etc': use a name such as Europe/Berlin, or UTC"):
        zone("../../etc")
