"""The daemon's settings: which keys there are (`keys`), what each may be (`rules`), and where its
value comes from (`sources`)."""

from holdfastd.config.keys import RULES, SECTIONS, VARIABLES, Backup, Config
from holdfastd.config.rules import Address
from holdfastd.config.sources import (
    DEFAULT,
    FILE_VARIABLE,
    ConfigError,
    Origin,
    Traced,
    as_environment,
    flatten,
    from_tree,
    load,
    load_traced,
)

__all__ = [
    "DEFAULT",
    "FILE_VARIABLE",
    "RULES",
    "SECTIONS",
    "VARIABLES",
    "Address",
    "Backup",
    "Config",
    "ConfigError",
    "Origin",
    "Traced",
    "as_environment",
    "flatten",
    "from_tree",
    "load",
    "load_traced",
]
