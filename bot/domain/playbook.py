"""Playbooks: when they apply, what to gather, and the text people read.

A playbook is one Markdown file: a TOML head between two `+++` lines, then the text.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from bot.domain.checks.reproduction import Reproduce
from bot.domain.metrics.metric import MetricQuery
from bot.domain.metrics.named import faults_of_list, read_list
from bot.domain.routing import Matcher
from bot.errors import Reason, Refused

FENCE = "+++"
MAX_PLAYBOOK = 64 * 1024
MAX_SAID = 80

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_KINDS = frozenset({"logs", "changes", "metrics"})
_RANGES = {
    "look_back": (60, 86_400),
    "look_ahead": (0, 86_400),
    "history": (2, 1_000),
    "seconds": (10, 3_600),
    "first_seconds": (2, 600),
    "evidence_seconds": (2, 3_600),
    "start_seconds": (1, 600),
    "slow_floor_ms": (1, 60_000),
    "tries": (2, 50),
}
_NUMBERS = {"stay_up_seconds": (0, 60), "slow_factor": (1.2, 100)}
_OWNERS = {
    "start_seconds": (Reproduce.REQUEST, Reproduce.START, Reproduce.SLOW),
    "stay_up_seconds": (Reproduce.START,),
    "slow_factor": (Reproduce.SLOW,),
    "slow_floor_ms": (Reproduce.SLOW,),
    "tries": (Reproduce.SLOW, Reproduce.CHECK),
}
_APPROVAL = frozenset({"quorum", "expiry"})


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """One playbook. `when` maps label names to the regular expressions that must all match (RE2, whole value); with
    `otherwise` it answers every alert that no other does. `is_shipped` ones give way to people's own.

    `look_back` and `look_ahead` are seconds around the alert's start in which logs are read;
    `history` is how many commits are looked at; `seconds` bounds the whole investigation. Something is shown within
    `first_seconds`, from what has answered by then; `evidence_seconds` is how long anything may take to answer.
    `metrics` are asked for beside those of the service.

    `reproduce` says what tells a bad commit from a good one. The service gets `start_seconds` to start, and for "start"
    has to stay up for `stay_up_seconds` after. For "slow" a request is timed `tries` times: its median is red from
    `slow_factor` times that of an old commit, and at least `slow_floor_ms` more. A "check" that
    is green at the head is run `tries` times there.
    `agent` names the profile of the model's run that follows.
    `text` is a Jinja2 template rendered with the incident, for people and for the model.
    """

    name: str
    title: str
    when: Mapping[str, str]
    evidence: tuple[str, ...] = ("logs", "changes", "metrics")
    metrics: tuple[MetricQuery, ...] = ()
    look_back: int = 1800
    look_ahead: int = 300
    history: int = 50
    seconds: int = 300
    first_seconds: int = 10
    evidence_seconds: int = 60
    reproduce: Reproduce = Reproduce.REQUEST
    start_seconds: int = 20
    stay_up_seconds: float = 1.0
    slow_factor: float = 2.5
    slow_floor_ms: int = 40
    tries: int = 5
    text: str = ""
    agent: str = "patch"
    tools: tuple[str, ...] = ()
    approval: Mapping[str, str] = field(default_factory=dict)
    otherwise: bool = False
    is_shipped: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(Matcher(label=label, pattern=pattern).matches(labels) for label, pattern in self.when.items())


def choose_playbook(playbooks: Sequence[Playbook], labels: Mapping[str, str]) -> Playbook | None:
    """Return the matching playbook that asks for most labels; None if none match.

    Where two ask for as many, people's own comes first, then the first by name. One for what no other answers is last.
    """
    matching = [playbook for playbook in playbooks if playbook.matches(labels)]
    return min(matching, key=_rank, default=None)


def _rank(playbook: Playbook) -> tuple[bool, int, bool, str]:
    return playbook.otherwise, -len(playbook.when), playbook.is_shipped, playbook.name


def parse_playbook(text: str) -> Playbook:
    """Read one playbook file. Raises `Refused` that names the line and says what to write instead."""
    if len(text) > MAX_PLAYBOOK:
        raise _fault(1, f"the playbook is longer than {MAX_PLAYBOOK} characters", Reason.TOO_LARGE)
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].strip() != FENCE:
        raise _fault(1, f"a playbook begins with a line {FENCE}, its TOML head, and another line {FENCE}")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == FENCE), 0)
    if not end:
        raise _fault(len(lines), f"the head has no closing line {FENCE}")
    head = lines[1:end]
    values = _read_head(head)
    for key, what in _check(values):
        raise _fault(_line_of(head, key), what)
    return _build(values, "\n".join(lines[end + 1 :]).strip() + "\n")


def _fault(line: int, what: str, reason: Reason = Reason.BAD_INPUT) -> Refused:
    return Refused(f"playbook line {line}: {what}", reason)


def _read_head(head: Sequence[str]) -> Mapping[str, object]:
    try:
        return tomllib.loads("\n".join(head))
    except (ValueError, RecursionError) as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place.group(1)) + 1 if place else len(head) + 1
        raise _fault(line, f"the head is not TOML: {str(error).split(' (at ')[0][:MAX_SAID]}") from error


def _line_of(head: Sequence[str], key: str) -> int:
    """Return the file's line of a dotted key; the head's first line where the key is missing."""
    last = re.escape(key.rsplit(".", 1)[-1])
    pattern = re.compile(rf"""(^|[{{,.])\s*["']?{last}["']?\s*=|^\s*\[{last}\]""")
    return next((number for number, line in enumerate(head, 2) if pattern.search(line)), 1)


def _check(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong), most basic first."""
    known = {each.name for each in fields(Playbook)} - {"text", "is_shipped"}
    for key in values:
        if key not in known:
            yield key, f"unknown key {key[:MAX_SAID]!r}; known are {', '.join(sorted(known))}"
    for key in ("name", "title"):
        if key not in values:
            yield key, f"the head needs {key!r}"
    yield from _check_texts(values)
    yield from _check_which(values)
    for key, (least, most) in _RANGES.items():
        value = values.get(key, least)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield key, f"{key} must be a whole number from {least} to {most}"
    yield from (("metrics", fault) for fault in faults_of_list(values.get("metrics", [])))
    first, all_of_it = (values.get(key, getattr(Playbook, key)) for key in ("first_seconds", "evidence_seconds"))
    if isinstance(first, int) and isinstance(all_of_it, int) and first > all_of_it:
        yield "first_seconds", "first_seconds must not be longer than evidence_seconds"
    yield from _check_reproduction(values)


def _check_reproduction(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, (least, most) in _NUMBERS.items():
        value = values.get(key, least)
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            yield key, f"{key} must be a number from {least} to {most}"
    kind = values.get("reproduce", Reproduce.REQUEST)
    if not isinstance(kind, str) or kind not in set(Reproduce):
        yield "reproduce", f"reproduce must be one of {', '.join(Reproduce)}"
        return
    for key, owners in _OWNERS.items():
        if key in values and kind not in owners:
            yield key, f'{key} means nothing with reproduce = "{kind}"; it belongs to {" or ".join(owners)}'


def _check_texts(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    name, title = values.get("name"), values.get("title")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield "name", "name must be lower-case letters, digits and hyphens, at most 63 of them"
    if not isinstance(title, str) or not 0 < len(title.strip()) <= 200:
        yield "title", "title must be a text of 1 to 200 characters"
    agent = values.get("agent", Playbook.agent)
    if not isinstance(agent, str) or not _NAME.fullmatch(agent):
        yield "agent", "agent must be the name of a profile: lower-case letters, digits and hyphens"
    for key in ("evidence", "tools"):
        value = values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            yield key, f"{key} must be a list of texts"
        elif key == "evidence" and not _KINDS.issuperset(value):
            yield key, f"evidence knows {', '.join(sorted(_KINDS))}"
    approval = values.get("approval", {})
    if not isinstance(approval, dict) or not _APPROVAL.issuperset(approval):
        yield "approval", f"approval is a table that knows {', '.join(sorted(_APPROVAL))}"
    elif not all(isinstance(value, str) for value in approval.values()):
        yield "approval", "the values of approval must be texts in quotes"


def _check_which(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with which alerts it answers."""
    otherwise = values.get("otherwise", False)
    if not isinstance(otherwise, bool):
        yield "otherwise", "otherwise must be true or false"
    elif otherwise and "when" in values:
        yield "otherwise", "a playbook has [when] or otherwise, not both: one answers what no other [when] does"
    elif not otherwise and "when" not in values:
        yield "when", "the head needs 'when', or otherwise = true to answer every alert that no other playbook does"
    elif not otherwise:
        yield from _check_when(values["when"])


def _check_when(when: object) -> Iterator[tuple[str, str]]:
    if not isinstance(when, dict) or not when:
        yield "when", "when must name at least one label and the pattern its whole value matches"
        return
    for label, pattern in when.items():
        if not _LABEL.fullmatch(label):
            yield f"when.{label}", f"{label[:MAX_SAID]!r} is not a label name"
        elif not isinstance(pattern, str):
            yield f"when.{label}", f"the pattern of {label} must be a text in quotes"
        elif fault := Matcher(label=label, pattern=pattern).fault():
            yield f"when.{label}", f"the pattern of {label} {fault}"


def _build(values: Mapping[str, object], text: str) -> Playbook:
    """Build from checked values."""

    def texts(key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = values.get(key)
        return tuple(str(each) for each in value) if isinstance(value, list) else default

    def table(key: str) -> dict[str, str]:
        value = values.get(key)
        return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}

    def number(key: str, default: int) -> int:
        value = values.get(key)
        return value if isinstance(value, int) else default

    def decimal(key: str, default: float) -> float:
        value = values.get(key)
        return float(value) if isinstance(value, int | float) else default

    return Playbook(
        name=str(values["name"]),
        title=str(values["title"]).strip(),
        when=table("when"),
        evidence=texts("evidence", Playbook.evidence),
        metrics=read_list(values.get("metrics"), str(values["name"])),
        look_back=number("look_back", Playbook.look_back),
        look_ahead=number("look_ahead", Playbook.look_ahead),
        history=number("history", Playbook.history),
        seconds=number("seconds", Playbook.seconds),
        first_seconds=number("first_seconds", Playbook.first_seconds),
        evidence_seconds=number("evidence_seconds", Playbook.evidence_seconds),
        reproduce=Reproduce(str(values.get("reproduce", Playbook.reproduce))),
        start_seconds=number("start_seconds", Playbook.start_seconds),
        stay_up_seconds=decimal("stay_up_seconds", Playbook.stay_up_seconds),
        slow_factor=decimal("slow_factor", Playbook.slow_factor),
        slow_floor_ms=number("slow_floor_ms", Playbook.slow_floor_ms),
        tries=number("tries", Playbook.tries),
        text=text,
        agent=str(values.get("agent", Playbook.agent)),
        tools=texts("tools", ()),
        approval=table("approval"),
        otherwise=values.get("otherwise") is True,
    )
