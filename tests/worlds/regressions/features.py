"""Commits that change what a program does, and rightly: in the functions that failing tests run, as teams do."""

import re
from pathlib import Path

from tests.worlds.regressions.cases import Step

_FEATURE = re.compile(
    r"^=== (?P<path>\S+)\n(?P<message>[^\n]+)\n--- before\n(?P<old>.*?)\n--- after\n(?P<new>.*?)\n(?=^===|\Z)",
    re.MULTILINE | re.DOTALL,
)


def read_features(project: str) -> list[Step]:
    """Return the features of a project; each is one edit."""
    text = Path(__file__).with_name(f"{project}.features").read_text()
    return [
        Step(message=match["message"], edits=((match["path"], match["old"], match["new"]),))
        for match in _FEATURE.finditer(text)
    ]
