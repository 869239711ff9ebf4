"""What GitHub means by a refusal that other servers mean otherwise, and the words people need for it."""

from collections.abc import Mapping
from typing import Final

from bot.errors import NightshiftError, Reason, Rejected
from connectors.ci.http_refusals import REDIRECTS, Refusal, ask_for_pause
from connectors.ci.http_values import as_text

NAME: Final = "GitHub"
_TOKEN: Final = "GitHub refuses the token; set NIGHTSHIFT_GITHUB_TOKEN to one that works"  # noqa: S105 -- a sentence
_UNSEEN: Final = "GitHub has no such repository, branch or run, or the token may not see it"
_FINAL: Final[Mapping[int, tuple[str, Reason]]] = {
    401: (_TOKEN, Reason.REVOKED),
    404: (_UNSEEN, Reason.NOT_FOUND),
    405: ("GitHub does not allow that", Reason.NOT_ALLOWED),
    409: ("GitHub says that something else came first", Reason.CONFLICT),
    410: (_UNSEEN, Reason.NOT_FOUND),
    422: ("GitHub refuses the call (422)", Reason.BAD_INPUT),
}


def explain(refusal: Refusal) -> NightshiftError | None:
    """A secondary rate limit is a 403 that may say so in words alone."""
    if refusal.status == 403 and refusal.wait is None:
        said = refusal.said.lower()
        if "rate limit" in said or "abuse" in said:
            return ask_for_pause(NAME, refusal)
        needs = as_text(refusal.headers.get("X-Accepted-GitHub-Permissions"))
        hint = f" (it needs {needs})" if needs else ""
        return Rejected(f"The GitHub token may not do that{hint}{refusal.tail}", Reason.NOT_ALLOWED)
    if refusal.status in REDIRECTS:
        return Rejected("GitHub has moved that repository; write its new address into the configuration.", Reason.STALE)
    text, reason = _FINAL.get(refusal.status, ("", Reason.BAD_INPUT))
    return Rejected(f"{text}{refusal.tail}", reason) if text else None
