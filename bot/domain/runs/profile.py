"""Profiles of the agent: which model works with which tools, limits and words, and who may approve what it proposes.

A profile is a TOML file. A run keeps the one that it began with, by its digest, however the file changes meanwhile.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from bot.domain.models.reasoning import Effort
from bot.domain.runs.tool_name import PROPOSING, ToolName
from bot.domain.runs.transcript import Budget

MAX_PROFILE: Final = 64 * 1024
MAX_PROMPT: Final = 8_000
MAX_MODEL: Final = 200
_WHOLE: Final = frozenset({"gpu_seconds", "seconds", "answer_seconds"})
"""Limits that need not be whole numbers."""


class Mode(StrEnum):
    """What a run is for. TRIAGE finds the cause: no tool that proposes exists. PATCH proposes. QUESTION answers one: it
    is told of the tools of PATCH, so that both begin with the same bytes, and may not propose."""

    TRIAGE = "triage"
    PATCH = "patch"
    QUESTION = "question"


@dataclass(frozen=True, kw_only=True)
class AgentProfile:
    """One profile. `model` "" is the configured one, `effort` "" how long it thinks by itself, `tools` () all that the
    mode has; `limits` take the place of the configured ones of the same name; `prompt` is added to the system text;
    `approvers` () are those of the policy.
    """

    name: str = Mode.PATCH.value
    mode: Mode = Mode.PATCH
    model: str = ""
    effort: str = ""
    tools: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    prompt: str = ""
    approvers: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Return the hash of what the profile says, however its file is written."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()

    def limit(self, budget: Budget) -> Budget:
        """Return the limits of a run: the configured ones, with those of the profile in their places."""
        own = {name: value if name in _WHOLE else int(value) for name, value in self.limits.items()}
        return replace(budget, **own)  # type: ignore[arg-type] # names and kinds were checked when it was read


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a profile may name: tools, with those that propose among them, and people who may approve."""

    tools: Sequence[str]
    proposing: Sequence[str]
    approvers: Sequence[str]


def known_names(approvers: Sequence[str], far: Sequence[str] = ()) -> Known:
    """Return what a profile may name; `far` are the names of tools of other servers."""
    return Known(tools=sorted([*ToolName, *far]), proposing=sorted(PROPOSING), approvers=approvers)


def read_profile(name: str, text: str, known: Known) -> tuple[AgentProfile | None, tuple[str, ...]]:
    """Read one file. Returns the profile, or None with all that is wrong with it."""
    if len(text) > MAX_PROFILE:
        return None, (f"is longer than {MAX_PROFILE:,} characters",)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return None, (f"is not TOML: {str(error)[:120]}",)
    faults = tuple(_find_faults(values, known))
    return (None, faults) if faults else (_build(name, values, known), ())


def _build(name: str, values: Mapping[str, object], known: Known) -> AgentProfile:
    mode, limits = Mode(str(values["mode"])), values.get("limits", {})
    named = _texts(values.get("tools")) or tuple(known.tools)
    tools = [tool for tool in named if mode is not Mode.TRIAGE or tool not in known.proposing]
    return AgentProfile(
        name=name,
        mode=mode,
        model=str(values.get("model", "")).strip(),
        effort=str(values.get("effort", "")),
        tools=tuple(sorted(set(tools))),
        limits=dict(sorted(limits.items())) if isinstance(limits, dict) else {},
        prompt=str(values.get("prompt", "")).strip(),
        approvers=_texts(values.get("approvers")),
    )


def _find_faults(values: Mapping[str, object], known: Known) -> Iterator[str]:
    keys = [each.name for each in fields(AgentProfile) if each.name != "name"]
    yield from (f"unknown key {name_nearest(key, keys)}" for key in values if key not in keys)
    mode = values.get("mode")
    if not isinstance(mode, str) or mode not in set(Mode):
        yield f"mode must be one of {', '.join(Mode)}"
    effort = values.get("effort", Effort.NONE)
    if not isinstance(effort, str) or effort not in set(Effort):
        yield f"effort must be one of {', '.join(Effort)}"
    for key, most in (("model", MAX_MODEL), ("prompt", MAX_PROMPT)):
        value = values.get(key, "")
        if not isinstance(value, str) or len(value) > most:
            yield f"{key} must be a text of at most {most:,} characters"
    yield from _find_wrong_names("tools", values.get("tools", []), known.tools)
    yield from _find_wrong_names("approvers", values.get("approvers", []), known.approvers)
    proposing = [tool for tool in _texts(values.get("tools")) if tool in known.proposing]
    if mode == Mode.TRIAGE and proposing:
        yield f"tools names {', '.join(proposing)}; in the mode triage no tool that proposes exists"
    yield from _find_wrong_limits(values.get("limits", {}))


def _find_wrong_names(key: str, value: object, known: Sequence[str]) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        yield f"{key} must be a list of names in quotes"
        return
    yield from (f"{key} names {name_nearest(each, known)}" for each in value if each not in known)


def _find_wrong_limits(value: object) -> Iterator[str]:
    names = [each.name for each in fields(Budget)]
    if not isinstance(value, dict):
        yield "limits must be a table: [limits]"
        return
    for name, limit in value.items():
        if name not in names:
            yield f"limits: unknown key {name_nearest(name, names)}"
            continue
        kind = int | float if name in _WHOLE else int
        if not isinstance(limit, kind) or isinstance(limit, bool) or not 0 < limit <= 10**12:
            yield f"limits: {name} must be {'a' if name in _WHOLE else 'a whole'} number above 0"


def name_nearest(name: str, known: Iterable[str]) -> str:
    """Return a wrong name in quotes, and what may have been meant."""
    names = list(known)
    near = get_close_matches(name, names, 1)
    if not names:
        return f'"{name[:60]}"; there is none'
    return f'"{name[:60]}"; did you mean "{near[0]}"?' if near else f'"{name[:60]}"; known are {", ".join(names)}'


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
