"""All tools. The front process does without them: it knows their names (`bot.domain.runs.tool_name`)."""

from typing import Final

from bot.agent.tools.changes import DEPLOYS
from bot.agent.tools.checking import RUN_CHECK
from bot.agent.tools.ci import CI_LOG, CI_STATUS
from bot.agent.tools.delegating import SUB_AGENT
from bot.agent.tools.files import GREP, LIST, READ_FILE
from bot.agent.tools.history import GIT_BLAME, GIT_DIFF, GIT_LOG, GIT_SHOW
from bot.agent.tools.logs import QUERY_LOGS, READ_LOG
from bot.agent.tools.memory import LOAD_PLAYBOOK, SIMILAR_INCIDENTS
from bot.agent.tools.metrics import METRICS
from bot.agent.tools.patches import PROPOSE_PATCH
from bot.agent.tools.people import ASK_USER, TO_DO_LIST
from bot.agent.tools.tool import Tool

TOOLS: Final[tuple[Tool, ...]] = (
    ASK_USER,
    CI_LOG,
    CI_STATUS,
    DEPLOYS,
    GIT_BLAME,
    GIT_DIFF,
    GIT_LOG,
    GIT_SHOW,
    GREP,
    LIST,
    LOAD_PLAYBOOK,
    METRICS,
    PROPOSE_PATCH,
    QUERY_LOGS,
    READ_FILE,
    READ_LOG,
    RUN_CHECK,
    SIMILAR_INCIDENTS,
    SUB_AGENT,
    TO_DO_LIST,
)
"""All of them; a run may be given fewer. One that a service has no source for is there all the same, and says so."""
