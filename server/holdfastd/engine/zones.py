"""Time zones as the tzdata package has them: data that comes with the program, read like its code.

Never those of the machine, so that a schedule means the same on each, whatever it has installed.
"""

from datetime import UTC, tzinfo
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo


class UnknownZone(ValueError):
    """Its text says which name is no zone, and what may have been meant."""


@cache
def zone_names() -> frozenset[str]:
    """Every name of the IANA database, such as Europe/Berlin, the old ones included."""
    return frozenset((files("tzdata") / "zones").read_text("ascii").split())


@cache  # as many as there are zones, since other names raise
def zone(name: str) -> tzinfo:
    """Raises UnknownZone."""
    if name == "UTC":
        return UTC
    if name not in zone_names():
        close = get_close_matches(name, zone_names(), 1)
        hint = f"did you mean {close[0]}?" if close else "use a name such as Europe/Berlin, or UTC"
        raise UnknownZone(f"there is no time zone {name!r}: {hint}")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)
