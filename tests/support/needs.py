"""What some tests need and a machine may lack: they are left out there and say so.

HOLDFAST_NEEDS=NAME,NAME (our CI sets it) makes that an error.
"""

import os

import pytest


def need(name: str, is_there: bool, missing: str) -> None:
    """Leave the test out where it is not there, or fail where it must be. missing: what is, and
    what cannot be tried without it."""
    if is_there:
        return
    if name in os.environ.get("HOLDFAST_NEEDS", "").split(","):
        pytest.fail(missing)
    pytest.skip(missing)
