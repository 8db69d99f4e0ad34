"""config.toml lists every key of the daemon with its default, its unit and its range."""

import re
import tomllib
from pathlib import Path

import pytest

from holdfastd.config import RULES, Config, flatten, load
from holdfastd.config.rules import Whole

CONFIG_TOML = Path(__file__).parents[2] / "config.toml"
UNITS = {"_ms": "Milliseconds", "_bytes": "Bytes", "bytes_max": "Bytes"}


def comments() -> dict[str, str]:
    """The comment right above each key, by path."""
    found: dict[str, str] = {}
    section = comment = ""
    for line in CONFIG_TOML.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.startswith("#"):
            comment = line
        elif " = " in line:
            found[f"{section}.{line.partition(' = ')[0]}"] = comment
            comment = ""
    return found


def test_config_toml_lists_every_key_with_its_default_and_no_other() -> None:
    tree = tomllib.loads(CONFIG_TOML.read_text())
    listed = {
        f"{section}.{name}": tree[section][name] for section in tree for name in tree[section]
    }
    assert listed == flatten(Config())
    assert list(listed) == list(RULES)


def test_config_toml_can_be_used_as_it_is() -> None:
    assert load(CONFIG_TOML, {}, {}) == Config()


@pytest.mark.parametrize("path", RULES)
def test_each_key_has_a_comment_with_its_unit_and_what_is_allowed(path: str) -> None:
    comment = comments()[path]
    rule = RULES[path]
    allowed = f"{rule.low:,} to {rule.high:,}" if isinstance(rule, Whole) else rule.allowed
    allowed = allowed.partition(", such as")[0]
    assert comment.lower().endswith(f"{allowed.lower()}.")
    for ending, unit in UNITS.items():
        if path.endswith(ending):
            assert re.match(rf"# {unit} ", comment)
