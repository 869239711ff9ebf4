"""What the model's tools are called: known to the front process, which reads profiles, without the tools themselves."""

from enum import StrEnum
from typing import Final


class ToolName(StrEnum):
    """The tools of `bot.agent.tools`; those of other servers have names of their own (`bot.domain.runs.far_tool`)."""

    ASK_USER = "ask_user"
    CI_LOG = "ci_log"
    CI_STATUS = "ci_status"
    DEPLOYS = "deploys"
    GIT_BLAME = "git_blame"
    GIT_DIFF = "git_diff"
    GIT_LOG = "git_log"
    GIT_SHOW = "git_show"
    GREP = "grep"
    LIST = "list"
    LOAD_PLAYBOOK = "load_playbook"
    METRICS = "metrics"
    PROPOSE_PATCH = "propose_patch"
    QUERY_LOGS = "query_logs"
    READ_FILE = "read_file"
    READ_LOG = "read_log"
    RUN_CHECK = "run_check"
    SIMILAR_INCIDENTS = "similar_incidents"
    SUB_AGENT = "sub_agent"
    TO_DO = "todo"


PROPOSING: Final = frozenset({ToolName.PROPOSE_PATCH})
"""Those that only a run that proposes may have."""
