"""What is remembered: incidents like this one, and what people wrote down to do."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.paging import PAGE_PARAM, show_page
from bot.agent.tools.tool import Call, Tool, ToolResult, ask_front
from bot.domain.past import Alike
from bot.domain.runs.tool_name import ToolName
from bot.ports.desk import AlikeWanted, PlaybookWanted

MAX_TEXT: Final = 2_000


async def _similar_incidents(call: Call) -> ToolResult:
    text = call.text("text")[:MAX_TEXT]
    told = await ask_front(call.hands, AlikeWanted(text=text))
    if not told.alike:
        what = f"the words of {text[:200]!r}" if text else "enough words with this one"
        return ToolResult(text=f"No past incident shares {what}.")
    return ToolResult(text="\n".join(_tell(each) for each in told.alike))


def _tell(alike: Alike) -> str:
    past = alike.past
    mended = f"mended by {past.fix}" if past.fix else "no fix is known"
    shared = ", ".join(alike.shared[:8])
    return f"{past.incident} {past.at:%Y-%m-%d} {past.service} “{past.title}”: {mended}; shares {shared}"


async def _load_playbook(call: Call) -> ToolResult:
    name = call.text("name")
    told = await ask_front(call.hands, PlaybookWanted(name=name))
    if not name:
        listed = "\n".join(f"{each.name}: {each.title}" for each in told.playbooks)
        return ToolResult(text=listed or "There is no playbook.")
    text = "\n\n".join(f"{each.title}\n\n{each.text}" for each in told.playbooks)
    return ToolResult(text=show_page(text, call.number("page", 1), call.hands.clean))


LOAD_PLAYBOOK: Final = Tool(
    spec=ToolSpec(
        name=ToolName.LOAD_PLAYBOOK,
        about="Read what people wrote down to do about a kind of alert. Without a name: which playbooks there are.",
        params=(Param(name="name", about="The playbook's name."), PAGE_PARAM),
    ),
    do=_load_playbook,
)
SIMILAR_INCIDENTS: Final = Tool(
    spec=ToolSpec(
        name=ToolName.SIMILAR_INCIDENTS,
        about="Find past incidents that share words with this one, or with a text, and what mended them.",
        params=(Param(name="text", about="Words to look for, such as an error message."),),
    ),
    do=_similar_incidents,
)
