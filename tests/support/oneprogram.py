"""The Python blocks of a page as one program, which is handed over piece by piece.

In: a line of JSON `[file, line, text]` for each. Out: a line of JSON, null or the traceback.
"""

import ast
import asyncio
import inspect
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # what blocks print is for the log
    sys.path.insert(0, "")
    names: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for order in sys.stdin:
            file, line, text = json.loads(order)
            said = None
            try:
                execute("\n" * (line - 1) + text, file, names, runner)
            except BaseException:
                said = traceback.format_exc()
            print(json.dumps(said), file=answers, flush=True)


def execute(text: str, file: str, names: dict[str, Any], runner: asyncio.Runner) -> None:
    code = compile(text, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(code, names)
    if code.co_flags & inspect.CO_COROUTINE:
        runner.run(made)


if __name__ == "__main__":
    main()
