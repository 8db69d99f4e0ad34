"""The real daemon of the tests, for the benchmarks."""

import sys

from bench.machine import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from support.daemon import DaemonProcess

__all__ = ["DaemonProcess"]
