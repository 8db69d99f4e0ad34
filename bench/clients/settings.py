"""What a peer's program is told by its environment."""

import os
from typing import Final

ROLE: Final = os.environ.get("BENCH_ROLE", "")
"""produce or work."""
QUEUE: Final = os.environ.get("BENCH_QUEUE", "bench")
URL: Final = os.environ.get("BENCH_URL", "")
