"""What the log places of a service must say, by their kind."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bot.errors import Problem
from bot.settings_sections import LogSettings

NEEDS: Final[Mapping[str, str]] = {
    "file": "path", "journald": "", "loki": "query", "elasticsearch": "path", "command": "command",
}  # fmt: skip
"""Kind → the setting without which it is no place."""


def check_logs(where: str, places: Sequence[LogSettings]) -> Iterator[Problem]:
    """Yield what is wrong with the log places of one service."""
    for number, place in enumerate(places):
        here = f"{where}.{number}"
        needed = NEEDS.get(place.kind)
        if needed is None:
            yield Problem(where=f"{here}.kind", what=f'no log connector "{place.kind}"; there are {", ".join(NEEDS)}')
        elif needed and not _is_given(place, needed):
            yield Problem(where=here, what=f'has a place of the kind "{place.kind}" without a {needed}')
        if place.kind != "command" and (place.command or place.env):
            yield Problem(where=here, what='only the kind "command" runs a command')


def _is_given(place: LogSettings, name: str) -> bool:
    value = {"path": place.path, "query": place.query, "command": "".join(place.command[:1])}[name]
    return bool(value.strip())
