"""Asks a model what it would call the incident that it looked into, and how severe it finds it."""

import json
from collections.abc import Iterable
from typing import Final

from bot.agent.aside import Aside
from bot.agent.transcript import dump, parse_object
from bot.domain.incident import Severity
from bot.domain.runs.suggestion import MAX_REASON, MAX_TITLE, Suggestion, read_suggestion
from bot.domain.runs.transcript import Step, StepKind

_TEXT: Final = f"""\
The work is done, and this is apart from it. Call no tool. Answer with one JSON object and nothing else:
{{"title": "…", "severity": "…", "reason": "…"}}
- title: what is wrong, in at most {MAX_TITLE} characters, in the language in which people wrote in this conversation, \
else in English
- severity: "critical" (users are harmed now), "warning" (they will be, or few are) or "info"
- reason: why this severity, in one sentence of at most {MAX_REASON} characters, in the same language
No addresses, no names of people, no markup."""
# No maxLength: with one, xgrammar 0.2.7 (sglang 0.5.23) lets a text have no quotation mark and no backslash, so that it
# ends at the first of them, and lets control characters in, which no JSON has. Reading it cuts what is too long.
_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "severity": {"type": "string", "enum": [each.value for each in Severity]},
        "reason": {"type": "string"},
    },
    "required": ["title", "severity", "reason"],
    "additionalProperties": False,
}
_FORMAT: Final = {
    "type": "json_schema",
    "json_schema": {"name": "suggestion", "strict": True, "schema": _SCHEMA},
}
SUGGEST: Final = Aside(text=_TEXT, form=f'"response_format":{dump(_FORMAT)}')
SECONDS: Final = 60.0
"""How long the answer may take: nobody waits for it, and it is not worth more."""


def find_answer(rows: Iterable[Step]) -> Step | None:
    """Return the newest row that holds an answer, None where nothing was asked."""
    found = [row for row in rows if row.kind is StepKind.AUXILIARY]
    return found[-1] if found else None


def read_answer(row: Step) -> Suggestion | None:
    """Return what the model suggests, None where its answer is anything but what was asked for."""
    body = json.loads(row.body)
    try:
        return read_suggestion(parse_object(body["answer"])) if not body["calls"] else None
    except (ValueError, RecursionError):
        return None
