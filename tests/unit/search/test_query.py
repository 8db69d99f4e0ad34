"""The query language: what texts mean, and that nothing but QueryError comes out."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfastd.engine.model import FailReason, State
from holdfastd.search.query import QUERY_LENGTH_MAX, Field, Query, QueryError, parse, quoted, term
from holdfastd.search.terms import Between, Literal, Pattern, Span, Term, instant_text

NOW_MS = 1_795_610_096_789  # 2026-11-25T12:34:56.789Z
DAY_MS = 86_400_000
TODAY_MS = NOW_MS - NOW_MS % DAY_MS
HOUR_MS = 3_600_000


def one(text: str) -> Term:
    (found,) = parse(text, NOW_MS).terms
    return found


def refused(text: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        parse(text, NOW_MS)
    return caught.value


# ---- what texts mean -----------------------------------------------------------------------------


def test_nothing_is_all_jobs() -> None:
    assert parse("  \n", NOW_MS) == Query()
    assert str(Query()) == ""


def test_terms_stand_between_blanks() -> None:
    query = parse("state:failed\t queue:mail -name:a", NOW_MS)
    assert [term.field for term in query.terms] == [Field.STATE, Field.QUEUE, Field.NAME]
    assert [term.is_negated for term in query.terms] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        ("state:failed", (State.FAILED,)),
        ("state:dead,Running", (State.FAILED, State.ACTIVE)),
        ("reason:crashed,timed_out", (FailReason.CRASHED, FailReason.TIMED_OUT)),
        ("queue:mail", (Pattern(("mail",)),)),
        ("queue:a:b,c.*", (Pattern(("a:b",)), Pattern(("c.", "")))),
        ("task:send_*", (Pattern(("send_", "")),)),
        ("name:*a**b*", (Pattern(("", "a", "b", "")),)),
        ('name:"a*b,c"', (Pattern(("a*b,c",)),)),
        (r'name:"say \"hi\" \\"', (Pattern(('say "hi" \\',)),)),
        ('name:""', (Pattern(("",)),)),
        ('id:x"y z"*', (Pattern(("xy z", "")),)),
        ("error:timeout", (Pattern(("timeout",)),)),
        ("error:*time*out*", (Pattern(("time", "out")),)),
        ("attempts:3", (Between(3, 3),)),
        ("attempts>=3", (Between(3, None),)),
        ("attempts:>3", (Between(4, None),)),
        ("attempts=1,2..4", (Between(1, 1), Between(2, 4))),
        ("priority<-5", (Between(None, -6),)),
        ("priority:..-5", (Between(None, -5),)),
        ("data.user_id:42", (Literal("42"),)),
        ("data.user_id:007", (Pattern(("007",)),)),
        ('data.user_id:"42"', (Pattern(("42",)),)),
        ("data.is_new:true,null", (Literal("true"), Literal("null"))),
        ("data.total>100", (Span(100, None, has_low=False),)),
        ("data.total<=1.5e3", (Span(None, 1500.0),)),
        ("data.total:1..2.5", (Span(1, 2.5),)),
        ("data.at:1..b", (Pattern(("1..b",)),)),
        ("data.note:*late*", (Pattern(("", "late", "")),)),
    ],
)
def test_values(text: str, tests: tuple[object, ...]) -> None:
    assert one(text).tests == tests


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data.a:1", ("a",)),
        ("data.items.0.sku:1", ("items", "0", "sku")),
        ("data.items.*.sku:1", ("items", None, "sku")),
        ('data."a.b c"."*":1', ("a.b c", "*")),
        ('data."":1', ("",)),
    ],
)
def test_paths(text: str, path: tuple[str | None, ...]) -> None:
    assert one(text).path == path


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("created:2026-11-01", "2026-11-01T00:00:00.000Z", "2026-11-01T23:59:59.999Z"),
        ("created:2026-11-01..2026-11-02", "2026-11-01T00:00:00.000Z", "2026-11-02T23:59:59.999Z"),
        ("created:2026-11-01T12:30", "2026-11-01T12:30:00.000Z", "2026-11-01T12:30:59.999Z"),
        ("created:2026-11-01T12:30:05", "2026-11-01T12:30:05.000Z", "2026-11-01T12:30:05.999Z"),
        ("created:2026-11-01T12:30:05.5", "2026-11-01T12:30:05.500Z", "2026-11-01T12:30:05.599Z"),
        ("created:2026-11-01T12:30+02:00", "2026-11-01T10:30:00.000Z", "2026-11-01T10:30:59.999Z"),
        ("created>2026-11-01", "2026-11-02T00:00:00.000Z", None),
        ("created>=2026-11-01", "2026-11-01T00:00:00.000Z", None),
        ("created<2026-11-01", None, "2026-10-31T23:59:59.999Z"),
        ("created<=2026-11-01", None, "2026-11-01T23:59:59.999Z"),
        ("created:today", "2026-11-25T00:00:00.000Z", "2026-11-25T23:59:59.999Z"),
        ("started:yesterday", "2026-11-24T00:00:00.000Z", "2026-11-24T23:59:59.999Z"),
        ("finished:1h", "2026-11-25T11:34:56.789Z", "2026-11-25T12:34:56.789Z"),
        ("finished:-2h..-1h", "2026-11-25T10:34:56.789Z", "2026-11-25T11:34:56.789Z"),
        ("finished>=-1h", "2026-11-25T11:34:56.789Z", None),
        ("due:1h", "2026-11-25T12:34:56.789Z", "2026-11-25T13:34:56.789Z"),
        ("due<=+2d", None, "2026-11-27T12:34:56.789Z"),
        ("due:tomorrow", "2026-11-26T00:00:00.000Z", "2026-11-26T23:59:59.999Z"),
        ("age>=1h", None, "2026-11-25T11:34:56.789Z"),
        ("age<=1h", "2026-11-25T11:34:56.789Z", None),
        ("age:1h..2h", "2026-11-25T10:34:56.789Z", "2026-11-25T11:34:56.789Z"),
    ],
)
def test_times(text: str, low: str | None, high: str | None) -> None:
    (found,) = one(text).ranges
    shown = [None if end is None else instant_text(end) for end in (found.low, found.high)]
    assert shown == [low, high]


def test_an_age_is_a_time_of_creation() -> None:
    assert one("-age>1h").field is Field.CREATED
    assert one("-age>1h").is_negated


def test_a_bare_word_is_looked_for_anywhere() -> None:
    assert one("*upload-*a*") == Term(Field.WORD, (Pattern(("upload-", "a")),))
    assert one('-"two words"') == Term(Field.WORD, (Pattern(("two words",)),), True)


def test_a_term_that_is_there_twice_counts_once() -> None:
    assert len(parse("state:failed a state:failed,failed a", NOW_MS).terms) == 2


def test_values_of_programs_are_quoted_where_they_need_it() -> None:
    for text in ("mail", "a b", 'say "x"', "a*b", "1..2", "", "<3", "a,b", "-x"):
        assert one(term(Field.QUEUE, text)).tests == (Pattern((text,)),)
    assert quoted("image-processing:eu") == "image-processing:eu"


# ---- canonical texts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" state:dead   task:x ", "state:failed name:x"),
        ("attempts>3", "attempts>=4"),
        ("attempts:3..3", "attempts:3"),
        ("attempts:..3,5..", "attempts:..3,5.."),
        ('data.x:"42",a,"b c"', 'data.x:"42",a,"b c"'),
        ("data.x>1", "data.x>1"),
        ("data.x:1..", "data.x>=1"),
        ("created:1h", "created:2026-11-25T11:34:56.789Z..2026-11-25T12:34:56.789Z"),
        ("created:now", "created:2026-11-25T12:34:56.789Z"),
        ('"data.x" "OR" "a:b"', '"data.x" "OR" "a:b"'),
    ],
)
def test_the_canonical_text(text: str, canonical: str) -> None:
    assert str(parse(text, NOW_MS)) == canonical


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PIECES = st.text(st.one_of(st.sampled_from('ab1.-"\\ ,*:<>=data\n'), CHARACTERS), max_size=8)
SAMPLES = [
    *("1", "-1", "1.5", "-0", "1e5", "007", "1..2", "..5", "3..", "x..y", "a*", "*a*"),
    *("1h", "-1h", "+2d", "1h..2d", "now", "today", "2026-11-01", "2026-11-01T10:00+01:00"),
    *("1970-01-01", "9999-12-31", "true", "null", "failed", "dead", "crashed"),
]
VALUES = st.one_of(PIECES.map(quoted), PIECES, st.sampled_from(SAMPLES))
PATHS = ["data", "data.a", "data.*.b", 'data."x y".0']
NAMES = st.one_of(
    st.sampled_from([*(field.value for field in Field), *PATHS, "age", "task", ""]), PIECES
)
GOOD = [
    *("state:failed,done", "-reason:crashed", "queue:a*,b", 'name:"a b"', "id:x", "tag:a,b"),
    *("worker:*w", "error:oops", "priority<-1", "attempts:1,3..", "created:1h", "started<now"),
    *("finished:today..", "due:1h", "age>1h", "data.a.0:1,x", "data.*.b>=2", "word"),
]
TERMS = st.one_of(
    st.sampled_from(GOOD),
    st.builds(
        lambda sign, name, operator, values: f"{sign}{name}{operator}{','.join(values)}",
        st.sampled_from(["", "-"]),
        NAMES,
        st.sampled_from([":", ":", ":", ">", ">=", "<", "<=", ":>=", "=", ""]),
        st.lists(VALUES, max_size=3),
    ),
)
TEXTS = st.one_of(st.lists(TERMS, max_size=4).map(" ".join), st.text(max_size=60))


@given(TEXTS, st.integers(0, 4_000_000_000_000))
@example("created<1970-01-01 created>9999-12-31", NOW_MS)
@example('-"-x" --x', NOW_MS)
@example("attempts:..3,5.. data.x:1..,..2", NOW_MS)
def test_no_text_makes_it_raise_anything_else_and_canonical_texts_say_the_same(
    text: str, now_ms: int
) -> None:
    found = parsed(text, now_ms)
    if isinstance(found, QueryError):
        assert 0 <= found.at <= len(text)
        assert found.text
        assert found.advice
        assert "\n" not in found.advice
    else:
        canonical = str(found)
        assert parse(canonical, now_ms + 86_400_000) == found
        assert str(parse(canonical, 0)) == canonical


def parsed(text: str, now_ms: int) -> Query | QueryError:
    try:
        return parse(text, now_ms)
    except QueryError as error:
        return error


def test_the_strategy_makes_queries_and_not_refusals_alone() -> None:
    """A twin of the test above, which would hold for a parser that refuses everything."""
    fields: set[Field] = set()

    @settings(max_examples=300, database=None)
    @given(TEXTS)
    def look(text: str) -> None:
        found = parsed(text, NOW_MS)
        if isinstance(found, Query):
            fields.update(term.field for term in found.terms)

    look()
    assert len(fields) > 10


@given(st.lists(st.sampled_from(["a", "b", "ab", "*"]), max_size=6), st.text("ab", max_size=8))
def test_a_pattern_fits_what_a_regular_expression_does(parts: list[str], text: str) -> None:
    pattern = one(f"name:x{''.join(parts)}").patterns[0]
    expression = "".join(".*" if part == "*" else part for part in ["x", *parts])
    assert pattern.fits(f"x{text}") == bool(re.fullmatch(expression, f"x{text}"))


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("state:deed", 6, "state:deed is no state: did you mean dead? There are waiting, delayed"),
        ("queue:mail stat:x", 11, "stat is no field: did you mean state?"),
        ("zzz:1", 0, 'to look for the word itself, put it in "quotes"'),
        ("queue:", 6, "queue: has no value"),
        ("queue:a,", 8, "queue: has no value"),
        ('a error:"x', 8, 'the " is not closed'),
        ("a OR b", 2, "OR is no operator"),
        ("-", 0, "- stands alone"),
        ("*", 0, "the word is empty"),
        ("queue>a", 6, "queue cannot be compared"),
        ("attempts:many", 9, "many is no value of attempts"),
        ("attempts:5..3", 9, "ends before it begins"),
        ("attempts>99999999999999999", 9, "is no value of attempts"),
        ("attempts>1,2", 11, "> takes one value"),
        ("created:2026-02-30", 8, "2026-02-30 is no time: day is out of range"),
        ("created:1066-10-14", 8, "1970 and 9999"),
        ("created>1h", 8, "write created:1h for within it, or created>-1h"),
        ("due<1h", 4, "or due<+1h"),
        ("age:1h", 4, "as in age>1h"),
        ("data:1", 0, "data: has no path"),
        ("data.x", 0, "data.x is not followed by : or a comparison"),
        ("data..x:1", 5, "the path has an empty key"),
        (f"data{'.a' * 40}:1", 69, "more than 32 keys"),
        ("queue:" + ",".join("a" * 101), 206, "more than 100 values"),
        ("data.x>y", 7, "y is no number"),
        ("data.x:1e999", 7, "1e999 is too large a number"),
        ("a\0", 1, "0x0"),
        ("a\ud800", 1, "0xd800"),
        ("x" * (QUERY_LENGTH_MAX + 1), 0, "characters"),
        (" ".join(f"a{n}" for n in range(60)), 190, "more than 50 terms"),
    ],
)
def test_an_error_says_where_and_what_to_do(text: str, at: int, words: str) -> None:
    error = refused(text)
    assert error.at == at
    assert words in str(error)
