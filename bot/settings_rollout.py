"""What fits together on the way from a push to a merge and a deployment, service by service."""

import re
from collections.abc import Iterator
from typing import Final

from bot.domain.change import MergeRule
from bot.domain.ci import Trigger
from bot.errors import Problem
from bot.settings_connections import BUILT_IN
from bot.settings_sections import ServiceSettings

_NO_FORGE: Final = "needs a forge, where the change is proposed; set forge to a connection"
_TAGS: Final = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9*?\[\]._+/-]{0,99}")


def check_rollout(where: str, service: ServiceSettings) -> Iterator[Problem]:
    """Yield what could never work: found at the start, not at night after an approval."""
    if service.trigger is Trigger.PULL_REQUEST and not service.forge:
        yield Problem(where=f"{where}.trigger", what=f'"pull_request" {_NO_FORGE}, or the trigger to "push"')
    if service.merge is not MergeRule.NEVER and not service.forge:
        yield Problem(where=f"{where}.merge", what=f'"{service.merge.value}" {_NO_FORGE}, or merge to "never"')
    if service.deploy_job and service.merge is MergeRule.NEVER:
        what = 'is dispatched after a merge, and nothing is ever merged; set merge to "ask" or "green"'
        yield Problem(where=f"{where}.deploy_job", what=what)
    if service.deploy_job and service.ci == BUILT_IN:
        yield Problem(where=f"{where}.deploy_job", what="is a job of a CI system; the local CI has `deploy`")
    if service.rollback_job and service.ci == BUILT_IN:
        what = "is a job of a CI system, and the local CI has none; set ci to a connection"
        yield Problem(where=f"{where}.rollback_job", what=what)
    if service.rollback_job != service.rollback_job.strip():
        yield Problem(where=f"{where}.rollback_job", what="has a space at its end; take it away")
    if not _TAGS.fullmatch(service.release_tags):
        yield Problem(where=f"{where}.release_tags", what='is a pattern of tag names, as in "v*" or "release/*"')
