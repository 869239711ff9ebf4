"""What the model says to people: a question with its answers, and the plan of its own work."""

from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.ask import MAX_ANSWER, MAX_ASKS, MOST_ANSWERS, read_ask
from bot.domain.runs.todo import MAX_ITEMS, MAX_TEXT, TodoState, count_done, read_todo
from bot.domain.runs.tool_name import ToolName


async def _ask_user(call: Call) -> ToolResult:
    ask = read_ask(call.hands.clean(call.text("question")), [call.hands.clean(each) for each in call.given["answers"]])
    if not call.hands.has_people:
        return ToolResult(text="Not asked: nobody is here to answer. Go on with what you know.")
    return ToolResult(text="", ask=ask)


async def _todo(call: Call) -> ToolResult:
    items = read_todo([(call.hands.clean(item["text"]), item["state"]) for item in call.given["items"]])
    return ToolResult(text=f"Noted, {count_done(items)}.", todo=items)


ASK_USER: Final = Tool(
    spec=ToolSpec(
        name=ToolName.ASK_USER,
        about="Ask the people on call one thing that no tool can tell you and that decides what to do. They may take "
        f"minutes, or not answer. At most {MAX_ASKS} in a run.",
        params=(
            Param(name="question", about="One question, in one sentence.", is_required=True),
            Param(
                name="answers",
                about=f"2 to {MOST_ANSWERS} answers to choose from, each at most {MAX_ANSWER} characters.",
                kind="texts",
                is_required=True,
            ),
        ),
    ),
    do=_ask_user,
    reads=False,
)
TO_DO_LIST: Final = Tool(
    spec=ToolSpec(
        name=ToolName.TO_DO,
        about="Show people your plan, and how far you are. Each call gives the whole list anew. Not needed for less "
        "than three steps.",
        params=(
            Param(
                name="items",
                about=f"At most {MAX_ITEMS}.",
                kind="array",
                is_required=True,
                items=(
                    Param(name="text", about=f"At most {MAX_TEXT} characters.", is_required=True),
                    Param(
                        name="state",
                        about="How far it is.",
                        is_required=True,
                        choices=tuple(state.value for state in TodoState),
                    ),
                ),
            ),
        ),
    ),
    do=_todo,
    reads=False,
)
