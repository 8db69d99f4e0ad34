"""The parts of docs/reference that the code tells best: `make reference` writes them.

Each stands in its page between two comments, `<!-- made: NAME -->` and `<!-- end -->`; what is
around them is written by hand. A test holds the pages to what this would write.
"""

import ast
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

import holdfast
from holdfast import aio, errors
from holdfast.cli import cli as holdfast_cli
from holdfast.models import JobInfo
from holdfast.wire.constants import ERROR_CODES
from holdfastd.cli import cli as holdfastd_cli
from holdfastd.config import RULES

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = ROOT / "docs" / "reference"
PART: Final = re.compile(r"(<!-- made: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


# ---- commands --------------------------------------------------------------------------------


def commands(program: str, group: click.Group) -> Iterator[str]:
    """Every command of a program, with its arguments and options."""
    context = click.Context(group, info_name=program)
    yield from _options(group, context)
    for path, command in _leaves(program, group):
        context = click.Context(command, info_name=path)
        usage = " ".join(command.collect_usage_pieces(context))
        yield from (f"### {path}", "", f"`{path} {usage}`", "", *_help(command), "")
        yield from _options(command, context)


def _leaves(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _leaves(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _help(command: click.Command) -> Iterator[str]:
    """Paragraphs, each on a line; those that click keeps as they are, as text."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from ("```text", *paragraph.removeprefix("\b\n").splitlines(), "```", "")
        else:
            yield from (_joined(paragraph), "")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [
        record
        for each in command.params
        if isinstance(each, click.Option) and (record := each.get_help_record(context))
    ]
    if records:
        yield from ("| option | |", "|---|---|")
        yield from (f"| `{_cell(names)}` | {_cell(text)} |" for names, text in records)
        yield ""


# ---- what goes wrong -------------------------------------------------------------------------


def codes() -> Iterator[str]:
    """Every refusal of the server."""
    yield from ("| code | name | try again? | what to do |", "|---|---|---|---|")
    for code, meaning in ERROR_CODES.items():
        again = "yes" if meaning.retryable else "no"
        yield f"| {int(code)} | `{code.name}` | {again} | {meaning.todo} |"


def exceptions() -> Iterator[str]:
    """Every exception of the client, with where it belongs and what it tells."""
    yield from ("| exception | is a | |", "|---|---|---|")
    for name in holdfast.__all__:
        found = getattr(holdfast, name)
        if isinstance(found, type) and issubclass(found, errors.HoldfastError):
            bases = ", ".join(f"`{base.__name__}`" for base in found.__bases__)
            yield f"| `{name}` | {bases} | {_cell(_told_of(found))} |"


def _told_of(kind: type[Exception]) -> str:
    """What the tree at the head of errors.py has beside it, and its attributes; or its text."""
    beside = re.search(rf"\b{kind.__name__} +(.+)", errors.__doc__ or "")
    text = _joined(kind.__doc__ or "")
    if beside is None:
        return text
    return f"{beside[1]}. {text}" if text.startswith("Attributes:") else text or beside[1]


# ---- the configuration -----------------------------------------------------------------------


def keys() -> Iterator[str]:
    """Every key of config.toml with its default and the comment that it has there."""
    text = (ROOT / "config.toml").read_text()
    tree = tomllib.loads(text)
    yield from ("| key | default | |", "|---|---|---|")
    for path in RULES:
        section, _, name = path.partition(".")
        body = text.split(f"[{section}]\n")[1]
        comment = re.search(rf"# (.*)\n{name} = (.*)\n", body)
        assert comment is not None, f"{path} has no comment in config.toml"
        assert name in tree[section]
        yield f"| `{path}` | `{comment[2]}` | {_cell(comment[1])} |"


# ---- the client ------------------------------------------------------------------------------


def of_queue() -> Iterator[str]:
    yield from _class(aio.Queue, "Queue", blocking=holdfast.Queue)
    yield from _function(aio.search, "search")


def of_job() -> Iterator[str]:
    yield from _class(aio.Job, "Job", blocking=holdfast.Job)
    yield from _fields(JobInfo)
    for kind in (holdfast.JobError, holdfast.Explanation, holdfast.Event, holdfast.Schedule):
        yield from (f"### {kind.__name__}", "", *_text(kind.__doc__))
        yield from _fields(kind)


def of_options() -> Iterator[str]:
    yield from (f"### {holdfast.Backoff.__name__}", "", *_text(holdfast.Backoff.__doc__))
    for name, method in _methods(holdfast.Backoff):
        yield from _callable(method, f"Backoff.{name}")


def of_worker() -> Iterator[str]:
    yield from _class(holdfast.Worker, "Worker")
    yield from _class(holdfast.ActiveJob, "ActiveJob", has_constructor=False)
    for kind in (holdfast.Retry, holdfast.Unrecoverable, holdfast.Release):
        has_own = "__init__" in vars(kind)
        signature = _signature(kind, kind.__name__) if has_own else f"`{kind.__name__}(message)`"
        yield from (f"### {kind.__name__}", "", signature, "", *_text(kind.__doc__))


INSIDE: Final = ("arrived", "cancel", "dropped", "emit", "ended", "execute", "handler_of", "tell")
"""Methods of Worker that its other half calls; so are those that begin with `take_` and `told_`."""


def _class(
    kind: type, name: str, *, blocking: type | None = None, has_constructor: bool = True
) -> Iterator[str]:
    """A class and what it can do. blocking: its twin, which must have the same methods."""
    yield from (f"### {name}", "")
    if has_constructor and name != "Job":
        yield from (_signature(kind, name), "")
    yield from _text(kind.__doc__)
    constructor = vars(kind).get("__init__")
    yield from _text(getattr(constructor, "__doc__", None))
    for method_name, method in _methods(kind):
        assert blocking is None or hasattr(blocking, method_name), method_name
        yield from _callable(method, f"{name.lower()}.{method_name}")


def _function(function: Callable[..., Any], name: str) -> Iterator[str]:
    yield from (f"### {name}", "", _signature(function, name), "", *_text(function.__doc__))


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        is_inside = kind is holdfast.Worker and (
            name in INSIDE or name.startswith(("take_", "told_")) or isinstance(member, property)
        )
        if name.startswith("_") or is_inside:
            continue
        function = member.__func__ if isinstance(member, classmethod) else member
        if inspect.isfunction(function):
            yield name, function


def _callable(function: Any, name: str) -> Iterator[str]:
    yield from (f"#### {name}", "", _signature(function, name), "", *_text(function.__doc__))


class _AsWritten(str):
    """An annotation without the quotes that `inspect` puts around one that is a text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


ALIASES: Final = {
    "float | int | timedelta": "Duration",
    "str | PathLike[str]": "FilePath",
    "Callable[[ActiveJob], Any]": "Handler",
}
"""What the code calls these; the page says what they are."""


def _signature(function: Any, name: str) -> str:
    """On one line, without self, and without what comes back of a class or where that is None."""
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=_type(each.annotation))
        for each in signature.parameters.values()
        if each.name not in ("self", "cls")
    ]
    text = f"{name}{inspect.Signature(parameters)}"
    returns = signature.return_annotation
    if inspect.isclass(function) or returns in (None, inspect.Parameter.empty):
        return f"`{text}`"
    return f"`{text} -> {_type(returns)}`"


def _type(annotation: Any) -> Any:
    """As it is written in the code, without modules."""
    if annotation is inspect.Parameter.empty:
        return annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if "[" in str(annotation):
        text = str(annotation)
    text = re.sub(r"\b(?:\w+\.)+(?=[A-Za-z])", "", text).replace("'", "")
    text = re.sub(r"ForwardRef\((\w+)\)", r"\1", text)
    for long, short in ALIASES.items():
        text = text.replace(long, short)
    return _AsWritten(text)


def _fields(kind: type) -> Iterator[str]:
    """Of a dataclass, with the line that each has below it."""
    (made,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(made, ast.ClassDef)
    yield from ("| attribute | |", "|---|---|")
    for at, node in enumerate(made.body):
        if isinstance(node, ast.AnnAssign):
            text = _text_behind(made.body[at + 1 :])
            field = f"{ast.unparse(node.target)}: {_cell(ast.unparse(node.annotation))}"
            yield f"| `{field}` | {text} |"
    yield ""


def _text_behind(nodes: list[ast.stmt]) -> str:
    match nodes:
        case [ast.Expr(ast.Constant(str(text))), *_]:
            return _cell(_joined(text))
    return ""


# ---- text ------------------------------------------------------------------------------------


def _text(doc: str | None) -> Iterator[str]:
    """A docstring, with its sections as lists."""
    for paragraph in inspect.cleandoc(doc or "").split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        if head in ("Args:", "Attributes:"):
            yield from _list(rest)
        elif head in ("Returns:", "Raises:"):
            yield f"{head} {_joined(rest)}"
        elif paragraph:
            yield _joined(paragraph)
        yield ""


def _list(text: str) -> Iterator[str]:
    items: list[str] = []
    for line in inspect.cleandoc("\n" + text).splitlines():
        if line.startswith(" "):
            items[-1] += f" {line.strip()}"
        else:
            items.append(line)
    for item in items:
        names, _, what = item.partition(": ")
        yield f"- `{names}`: {what}"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# ---- the pages -------------------------------------------------------------------------------

PARTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "holdfast": lambda: commands("holdfast", holdfast_cli),
    "holdfastd": lambda: commands("holdfastd", holdfastd_cli),
    "codes": codes,
    "exceptions": exceptions,
    "keys": keys,
    "queue": of_queue,
    "job": of_job,
    "options": of_options,
    "worker": of_worker,
}
"""By the names that stand in the pages."""


def brought_up_to_date(page: str) -> str:
    """A page's text with its parts made anew. Raises KeyError for a part that is none."""

    def made(match: re.Match[str]) -> str:
        lines = "\n".join(PARTS[match[2]]()).strip("\n")
        lines = re.sub(r"\n{3,}", "\n\n", lines)
        return f"{match[1]}\n{lines}\n\n{match[4]}"

    return PART.sub(made, page)


def main() -> None:
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text()
        made = brought_up_to_date(text)
        if made != text:
            path.write_text(made)
            print(f"{path.relative_to(ROOT)} is brought up to date")


if __name__ == "__main__":
    main()
