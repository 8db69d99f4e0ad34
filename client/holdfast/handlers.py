"""What a worker takes for a handler. It is looked at when the worker is made: found out by its
first job, a mistake would cost that job an attempt."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast.errors import MisuseError

if TYPE_CHECKING:
    from holdfast.active import ActiveJob

Handler: TypeAlias = Callable[["ActiveJob"], Any]


def check_handlers(handlers: object, *, process: bool) -> None:
    """A handler, or a map of them by job name. process: they run in processes of their own.

    Raises:
        MisuseError: one is no function, or cannot go to another process; there is none.
    """
    if not isinstance(handlers, Mapping):
        _check("the handler", handlers, process=process)
        return
    if not handlers:
        raise MisuseError("the dict of handlers is empty: give one by job name")
    for name, handler in handlers.items():
        if not isinstance(name, str):
            raise MisuseError(f"handlers are given by job name, a str, and not by {name!r}")
        _check(f"the handler of {name!r}", handler, process=process)


def is_async(handler: object) -> bool:
    """An `async def`, or an object with an async `__call__`: it runs on the loop."""
    called = getattr(handler, "__call__", None)  # noqa: B004 - what it is, not whether
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(called)


def _check(what: str, handler: object, *, process: bool) -> None:
    if not callable(handler):
        raise MisuseError(f"{what} must be a function of one argument, the job, not {handler!r}")
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return  # it does not say what it takes, as functions of C may
    try:
        signature.bind(None)
    except TypeError as error:
        raise MisuseError(f"{what} must take one argument, the job: {error}") from None
    if process and not is_async(handler):
        _check_can_travel(what, handler)


def _check_can_travel(what: str, handler: object) -> None:
    import pickle  # only such workers need it

    try:
        pickle.dumps(handler)
    except Exception as error:  # PicklingError, AttributeError, TypeError, what __reduce__ raises
        raise MisuseError(
            f"{what} cannot go to another process ({error}): with process=True it must be a "
            "function of a module, no lambda and none of inside a function"
        ) from None
