"""How the model is told of another server's tool (MCP): cleaned and bounded, for that server's words are hostile."""

import json
from collections.abc import Callable
from typing import Final

from bot.agent.far_schema import clean_schema
from bot.agent.guard import defuse
from bot.domain.runs.far_tool import FarTool, Listed
from bot.domain.text.unseen import remove_unseen

MAX_ABOUT: Final = 600


def offer_tool(server: str, listed: Listed, redact: Callable[[str], str]) -> FarTool | None:
    """Return a tool as the model may be told of it: cleaned and bounded. None where its arguments cannot be told."""

    def clean(text: str) -> str:
        return defuse(redact(remove_unseen(text)))

    schema = clean_schema(listed.schema, clean)
    if schema is None:
        return None
    about = " ".join(clean(listed.about).split())
    about = about if len(about) <= MAX_ABOUT else about[: MAX_ABOUT - 1] + "…"
    text = f"Of the server {server}, in its own words: {about or listed.name}"
    return FarTool(
        server=server, tool=listed.name, about=text, schema=json.dumps(schema, ensure_ascii=False, sort_keys=True)
    )
