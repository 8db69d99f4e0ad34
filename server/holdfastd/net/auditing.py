"""Which administrative command was asked by whom, and what came of it, for the audit log.

What came of it is known when its batch is durable: until then it is kept here, by connection and
request. One whose connection ends first is given GONE_S for that, and is noted as unanswered then.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from holdfast.wire.checks import Refusal, shown
from holdfast.wire.constants import STATE_NAMES
from holdfast.wire.messages import name_of
from holdfastd.access.rights import RIGHTS, Identity
from holdfastd.audit import SESSION_SHOWN, AuditLog, Entry
from holdfastd.clock import Clock
from holdfastd.engine.outputs import Answer, AnswerItems, ItemRefusal, Output, Refuse
from holdfastd.translation import ERROR_CODE_OF

AUDITED: Final = frozenset(kind for kind, right in RIGHTS.items() if right.is_audited)
IDS_SHOWN_MAX: Final = 20
FIELD_LENGTH_MAX: Final = 2_000
"""Of a command's field as JSON, such as the settings of CONFIGURE; a longer one is cut. Arbitrary:
whoever may send commands is not to fill the disk with one."""
GONE_S: Final = 5.0
"""A batch takes milliseconds; a drain of millions of jobs takes longer than that."""
UNANSWERED: Final = "unanswered"
_STATES: Final = {int(state): name for name, state in STATE_NAMES.items()}


def who_of(identity: Identity, address: str, session_id: str, client: str) -> Entry:
    return {
        "key": identity.name,
        "key_id": identity.key_id,
        "address": address,
        "session": session_id[:SESSION_SHOWN],
        "client": client,
    }


class Auditing:
    def __init__(self, log: AuditLog, clock: Clock):
        self.log = log
        """May be replaced by another."""
        self._clock = clock
        self._asked: dict[tuple[int, int], Entry] = {}
        """By (connection, request)."""

    def asked(self, connection: int, who: Entry, message: Any) -> None:
        """It was handed to the pipeline."""
        self._asked[connection, message.request] = _entry(who, message)

    def refused(self, who: Entry, message: Any, refusal: Refusal) -> None:
        """It was not."""
        self._write(_entry(who, message), {"result": refusal.code.name, "why": refusal.message})

    def said(self, outputs: Iterable[Output]) -> None:
        """These answers are durable."""
        if not self._asked:
            return
        for output in outputs:
            if isinstance(output, Answer | AnswerItems | Refuse):
                entry = self._asked.pop((output.connection, output.request), None)
                if entry is not None:
                    self._write(entry, _result(output, entry))

    def gone(self, connection: int) -> None:
        """It will ask nothing more."""
        asked = [key for key in self._asked if key[0] == connection]
        if asked:
            asyncio.get_running_loop().call_later(GONE_S, self._give_up, asked)

    def _give_up(self, asked: list[tuple[int, int]]) -> None:
        for key in asked:
            entry = self._asked.pop(key, None)
            if entry is not None:
                self._write(entry, {"result": UNANSWERED})

    def close(self) -> None:
        self._give_up(list(self._asked))

    def _write(self, entry: Entry, result: Entry) -> None:
        self.log.write(self._clock.now_ms(), entry | result)


def _entry(who: Entry, message: Any) -> Entry:
    """The command with its fields; of many ids the first."""
    fields = message._asdict()
    del fields["request"]
    payload = fields.pop("payload", None)  # what jobs carry stands in no log
    if payload is not None:
        fields["payload_bytes"] = len(payload)
    ids = fields.pop("ids", None)
    if ids is not None:
        fields["id_count"] = len(ids)
        fields["ids"] = ids[:IDS_SHOWN_MAX]
    expected = fields.get("expected")
    if expected is not None:
        fields["expected"] = _STATES.get(expected, expected)
    plain = {name: _plain(value) for name, value in fields.items()}
    return {"command": name_of(type(message)), **who, **plain}


def _plain(value: Any) -> Any:
    """The value, if JSON can carry it and it is short; else a text of it. It is not checked yet."""
    try:
        if len(json.dumps(value, allow_nan=False)) <= FIELD_LENGTH_MAX:
            return value
    except (TypeError, ValueError):
        pass
    return shown(value, FIELD_LENGTH_MAX)


def _result(output: Answer | AnswerItems | Refuse, entry: Entry) -> Entry:
    if isinstance(output, Refuse):
        return {"result": ERROR_CODE_OF[output.refusal].name, "why": output.message}
    if isinstance(output, AnswerItems):
        codes = Counter(
            ERROR_CODE_OF[item.refusal].name
            for item in output.items
            if isinstance(item, ItemRefusal)
        )
        done = entry.get("id_count", 0) - codes.total()
        return {"result": "ok" if done or not codes else "refused", "done": done, "refused": codes}
    if type(output.result) is int:
        return {"result": "ok", "removed": output.result}
    return {"result": "ok"}
