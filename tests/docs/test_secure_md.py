"""docs/how-to/secure.md names roles, audited commands and commands for keys as they are."""

import re
from pathlib import Path

from holdfast.wire.messages import name_of
from holdfastd.access.rights import RIGHTS, Role
from holdfastd.keys_cli import keys

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "secure.md").read_text()


def test_every_role() -> None:
    table = TEXT[TEXT.index("| role | may |") :].split("\n\n")[0]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:] == [role.value for role in Role]


def test_every_audited_command() -> None:
    audited = {name_of(kind) for kind, right in RIGHTS.items() if right.is_audited}
    sentence = TEXT[TEXT.index("Commands: `REMOVE`") :].split(";")[0]
    assert set(re.findall(r"`([A-Z_]+)`", sentence)) == audited


def test_every_command_and_option_of_keys() -> None:
    assert set(re.findall(r"^\| `holdfastd keys (\w+)", TEXT, re.MULTILINE)) == set(keys.commands)
    for command in keys.commands.values():
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option not in ("--config", "--data", "--all"):
                    assert option in TEXT, (command.name, option)
