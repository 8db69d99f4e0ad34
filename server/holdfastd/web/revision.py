"""Which commit runs, as far as the installation knows."""

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

UNKNOWN: Final = "unknown"


@cache
def revision() -> str:
    """The commit that pip installed from (`pip install git+...`); "unknown" if from elsewhere, such
    as a package index, whose version says it. See packaging.python.org, "Direct URL"."""
    try:
        told = distribution("holdfast").read_text("direct_url.json")
    except PackageNotFoundError:  # it runs from a source tree
        told = None
    return str(json.loads(told or "{}").get("vcs_info", {}).get("commit_id", UNKNOWN))
