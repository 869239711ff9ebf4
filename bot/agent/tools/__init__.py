"""What the model may do: read, run the service's own checks in the sandbox, and propose a patch. Nothing else exists.

Nothing here posts, approves, pages or pushes. One module per family of tools, each exporting its tools as values.
"""

from typing import Final

from bot.agent.tools.checking import RUN_CHECK
from bot.agent.tools.files import GREP, LIST, READ_FILE
from bot.agent.tools.history import GIT_BLAME, GIT_DIFF, GIT_LOG, GIT_SHOW
from bot.agent.tools.logs import READ_LOG
from bot.agent.tools.patches import PROPOSE_PATCH
from bot.agent.tools.tool import Tool

TOOLS: Final[tuple[Tool, ...]] = (
    GIT_BLAME,
    GIT_DIFF,
    GIT_LOG,
    GIT_SHOW,
    GREP,
    LIST,
    PROPOSE_PATCH,
    READ_FILE,
    READ_LOG,
    RUN_CHECK,
)
"""All of them; a run may be given fewer."""
