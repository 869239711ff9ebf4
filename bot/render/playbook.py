"""The text of a playbook, rendered for one incident."""

from collections.abc import Iterable, Mapping
from typing import Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bot.domain.incident import Incident
from bot.domain.playbook import Playbook
from bot.errors import Reason, Refused

MAX_TEXT = 20_000
#: What an expression of a template raises when it asks for the impossible (`1 // 0`, a huge range, a file to include).
_FAULTS: Final = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)

# Plain text: nothing here is markup, so nothing is escaped; connectors escape for their platform.
_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def _values(incident: Incident) -> Mapping[str, object]:
    """Only plain values reach a template: no object whose methods it could call."""
    return {
        "incident": {
            "id": incident.id,
            "title": incident.title,
            "service": incident.service,
            "severity": incident.severity.value,
            "state": incident.state.value,
            "started": incident.alert_started_at.strftime("%Y-%m-%d %H:%M:%S %Z"),
            "runbook": incident.runbook_url,
            "dashboard": incident.dashboard_url,
            "source": incident.source_url,
            "labels": dict(incident.labels),
            "annotations": dict(incident.annotations),
        }
    }


def check_text(playbook: Playbook) -> None:
    """Raise `Refused`, naming the line of the text, where the template cannot be read."""
    try:
        _environment.parse(playbook.text)
    except TemplateSyntaxError as error:
        raise Refused(
            f"playbook {playbook.name}, line {error.lineno} of its text: {error.message}", Reason.BAD_INPUT
        ) from error


def render_text(playbook: Playbook, incident: Incident) -> str:
    """Return the playbook's text for an incident, at most 20,000 characters.

    Raises `Refused` where the template asks for something that is not there or not allowed.
    """
    try:
        text = _collect(_environment.from_string(playbook.text).generate(_values(incident)))
    except (TemplateError, *_FAULTS) as error:
        raise Refused(f"playbook {playbook.name} cannot be rendered: {str(error)[:300]}", Reason.BAD_INPUT) from error
    return text[:MAX_TEXT]


def _collect(pieces: Iterable[str]) -> str:
    """Join the pieces until there is enough of them: a loop that goes on and on is left."""
    kept, length = list[str](), 0
    for piece in pieces:
        kept.append(piece)
        length += len(piece)
        if length > MAX_TEXT:
            break
    return "".join(kept)


def name_playbook(playbook: Playbook) -> str:
    """Say in one line by which playbook an incident is investigated."""
    return f"playbook: {playbook.name}{', as no other answers this alert' if playbook.otherwise else ''}"
