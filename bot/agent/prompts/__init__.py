"""What the model is told. The system text and the tools are the same bytes in every request of every incident, so that
a server keeps them in its cache; whatever belongs to one incident stands in the first user message."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

_FOLDER: Final = Path(__file__).parent


@cache
def read_system() -> str:
    return (_FOLDER / "system.md").read_text(encoding="utf-8").strip()


def render_task(facts: Mapping[str, object]) -> str:
    """Return the first user message of an incident."""
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    template = environment.from_string((_FOLDER / "task.md.j2").read_text(encoding="utf-8"))
    return template.render(facts).strip() + "\n"
