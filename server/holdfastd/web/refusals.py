"""Why the engine, or a search, said no, as what a route refuses with."""

from holdfast.wire.checks import Refusal
from holdfastd.inside import CommandRefused
from holdfastd.search.found import SearchError
from holdfastd.translation import ERROR_CODE_OF, refusal_of_search


def as_refusal(error: CommandRefused | SearchError | Refusal) -> Refusal:
    if isinstance(error, CommandRefused):
        return Refusal(ERROR_CODE_OF[error.refusal], error.message)
    return refusal_of_search(error) if isinstance(error, SearchError) else error
