"""What GitHub asks of a branch: its protection, and every ruleset that applies, also before the branch is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from bot.errors import Reason, Rejected, Unavailable
from connectors.ci.github.checks import fetch_listing
from connectors.ci.http_client import HttpClient
from connectors.ci.http_values import as_entries, as_object, as_text

AGAIN_SECONDS: Final = 5.0
CHECKS: Final = "required_status_checks"
GUARDS: Final = frozenset(
    {
        "creation",
        "update",
        "pull_request",
        "merge_queue",
        "required_deployments",
        "required_signatures",
        "workflows",
        "code_scanning",
    }
)
"""Rules that turn a push of ours away, whatever is in it; the rest looks at names and sizes, and says so itself."""
_UNKNOWN: Final = frozenset({Reason.NOT_FOUND, Reason.NOT_ALLOWED})
"""How a server without rulesets answers, and a plan that has none."""


@dataclass(frozen=True, kw_only=True)
class Demands:
    """`name` is the branch's own ("" = there is none), `checks` are those that must be green before a merge into it."""

    name: str
    is_protected: bool
    checks: tuple[str, ...]


async def fetch_demands(client: HttpClient, name: str, branch: str) -> Demands:
    """Return what a repository asks of a branch. What GitHub does not say clearly counts as protected."""
    place = quote(branch, safe="")
    found = await client.find(f"/repos/{name}/branches/{place}")
    told = as_object(found.value) if found else {}
    classic = as_object(as_object(told.get("protection")).get(CHECKS)).get("contexts")
    rules = await _fetch_rules(client, f"/repos/{name}/rules/branches/{place}?per_page=100")
    contexts = [as_text(one) for one in classic] if isinstance(classic, list) else []
    contexts += [as_text(check.get("context")) for rule in rules for check in as_entries(_given(rule).get(CHECKS))]
    return Demands(
        name=as_text(told.get("name"), 500),
        is_protected=(found is not None and told.get("protected") is not False) or any(map(_is_guard, rules)),
        checks=tuple(dict.fromkeys(context for context in contexts if context)),
    )


async def require_green(client: HttpClient, name: str, sha: str, checks: Sequence[str]) -> None:
    """Raises `Unavailable` while a required check is to come, and `Rejected` where one is not green."""
    if not checks:
        return
    listing = await fetch_listing(client, name, sha)
    asked = [check for check in listing.checks if check.name in checks]
    waiting = [*listing.missing(checks), *(check.name for check in asked if not check.state.is_final)]
    if waiting:
        text = f"GitHub still waits for the required check {', '.join(waiting)}."
        raise Unavailable(text, Reason.CONFLICT, AGAIN_SECONDS)
    red = [check.name for check in asked if not check.is_green]
    if red:
        raise Rejected(f"The required check {', '.join(red)} is not green.", Reason.NOT_ALLOWED)


async def _fetch_rules(client: HttpClient, path: str) -> Sequence[Mapping[str, Any]]:
    try:
        return await client.list(path)
    except Rejected as error:
        if error.reason in _UNKNOWN:
            return ()
        raise


def _given(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_object(rule.get("parameters"))


def _is_guard(rule: Mapping[str, Any]) -> bool:
    if rule.get("type") == CHECKS:
        return _given(rule).get("do_not_enforce_on_create") is not True
    return rule.get("type") in GUARDS
