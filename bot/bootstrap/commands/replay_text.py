"""A replayed run in words, for a terminal. All of it may be hostile: nothing is printed as it came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bot.agent.replay import Asked, Called, Event, Match, Proposed, Replay, Told
from bot.domain.incident import Incident
from bot.domain.investigation import Collected, Confirmed, Drafted, StageResult, Suspected, Verified
from bot.domain.runs.account import tell_profile
from bot.domain.runs.transcript import Step
from bot.domain.text.unseen import make_harmless
from bot.render.words import write_count, write_line
from bot.store.codec import dump_stage

MOST_OTHERS: Final = 20
_MATCHES: Final = {
    Match.SAME: "the very bytes that were sent",
    Match.DIFFERS: "DIFFERS from what was sent",
    Match.UNKNOWN: "not compared",
}


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """All that the store knows of one run. `others` are the model's other works in it, and who asked for what."""

    incident: Incident
    run: str
    steps: tuple[Step, ...]
    stages: tuple[StageResult, ...]
    stage_times: Mapping[str, datetime]
    step_times: Mapping[int, datetime]
    images: Mapping[str, bytes] = field(default_factory=dict)
    others: tuple[tuple[str, str], ...] = ()


def write_run(stored: StoredRun, replay: Replay, *, with_requests: bool) -> list[str]:
    incident = stored.incident
    ended = replay.ended.value if replay.ended else "not yet"
    lines = [
        make_harmless(f'{replay.run}: "{write_line(incident.title)}" ({write_line(incident.service)})'),
        f"{write_count(replay.rows, 'row')}, {write_count(len(replay.requests), 'answer')}, ended: {ended}",
        *([make_harmless(f"profile {write_line(profile)}")] if (profile := tell_profile(stored.steps)) else []),
    ]
    for event in replay.events:
        lines += ["", *_write_event(event, stored.step_times, with_requests=with_requests)]
    for call in replay.waiting:
        lines += ["", f"waits  {make_harmless(write_line(call.name))} has no result yet", *_quote(call.arguments)]
    return [*lines, "", *_write_end(replay), *_write_others(stored)]


def _write_others(stored: StoredRun) -> list[str]:
    others = [make_harmless(f"  {run}  {write_line(text)}") for run, text in stored.others]
    left = [f"  … {len(others) - MOST_OTHERS} before these"] if len(others) > MOST_OTHERS else []
    head = "The model's other work in it, each replayed by its name:"
    return ["", head, *left, *others[-MOST_OTHERS:]] if others else []


def _write_event(event: Event, times: Mapping[int, datetime], *, with_requests: bool) -> list[str]:
    at = f"{times[event.seq]:%H:%M:%S}  " if event.seq in times else ""
    if isinstance(event, Told):
        return [f"{at}{event.kind.value}", *_quote(event.text)]
    if isinstance(event, Called):
        done = "repeated, not done again" if event.is_repeat else f"{event.seconds:.1f} s"
        fault = f"; arguments not usable: {write_line(event.fault)}" if event.fault else ""
        lines = [make_harmless(f"{at}call {event.key}  {write_line(event.name)}  ({done}{fault})")]
        return [*lines, *_quote(event.arguments, "  > "), *_quote(event.result)]
    if isinstance(event, Proposed):
        word = "verified" if event.is_verified else "not verified"
        head = make_harmless(f'{at}patch "{write_line(event.title)}" on {event.base[:12]}, {word}')
        return [head, *_quote(event.patch.decode("utf-8", "backslashreplace"))]
    return _write_asked(event, at, with_requests=with_requests)


def _write_asked(event: Asked, at: str, *, with_requests: bool) -> list[str]:
    request = event.request
    size = f"{len(request.body):,} bytes, sha256 {request.sha256}" if request.body else "cannot be made again"
    why = f": {request.why}" if request.why else ""
    sent = f" (sent: {make_harmless(request.recorded[:64])})" if request.match is Match.DIFFERS else ""
    apart = ", apart from the conversation" if event.is_aside else ""
    lines = [f"{at}request {event.number}{apart}  {size}", f"  {_MATCHES[request.match]}{why}{sent}"]
    if with_requests:
        lines += _quote(request.body.decode("utf-8"), "  ")
    cached = "cached unknown" if event.cached is None else f"{event.cached:,} cached"
    tokens = f"{event.prompt:,} prompt tokens ({cached}), {event.completion:,} completion, {event.seconds:.1f} s"
    leaked = "; a call had leaked into its text" if event.has_leaked else ""
    calls = write_count(event.calls, "call")
    lines.append(make_harmless(f"answer {event.number}  {write_line(event.finish)}, {calls}, {tokens}{leaked}"))
    thoughts = _quote(event.reasoning, "  (thinking) ") if event.reasoning else []
    return [*lines, *thoughts, *(_quote(event.text) if event.text else [])]


def _write_end(replay: Replay) -> list[str]:
    spent = replay.spent
    lines = [f"BROKEN: {make_harmless(replay.broken)}"] if replay.broken else []
    if replay.ended:
        lines += [f"ended: {replay.ended.value}", *_quote(replay.text)]
    elif not replay.broken:
        lines.append("The run has not ended; it goes on from here.")
    same = sum(asked.request.match is Match.SAME for asked in replay.requests)
    return [
        *lines,
        f"{spent.prompt:,} prompt tokens read anew, {spent.cached:,} cached, {spent.completion:,} written",
        f"{spent.seconds:.1f} s; tools gave {spent.tool_bytes:,} bytes",
        f"{same} of {write_count(len(replay.requests), 'request')} made again byte for byte",
    ]


def _quote(text: str, prefix: str = "  | ") -> list[str]:
    return [f"{prefix}{line}" for line in make_harmless(text).split("\n")]


def write_stages(stored: StoredRun) -> list[str]:
    incident = stored.incident
    lines = [
        make_harmless(f'{stored.run}: "{write_line(incident.title)}" ({write_line(incident.service)})'),
        "No model worked on this run. Its investigation:",
    ]
    for result in stored.stages:
        stage = dump_stage(result)[0].value
        head = f"{stored.stage_times[stage]:%Y-%m-%d %H:%M:%S} UTC  {stage}"
        lines += [head, *(f"  {make_harmless(write_line(text, 400))}" for text in _tell_stage(result))]
    told = lines if stored.stages else [*lines[:1], "Nothing of it is stored yet."]
    return [*told, *_write_others(stored)]


def _tell_stage(result: StageResult) -> Sequence[str]:
    if isinstance(result, Collected):
        counts = f"{write_count(len(result.records), 'error')}, {write_count(len(result.requests), 'request')}"
        told = [f"{counts} from {write_count(result.lines_read, 'log line')}"]
        told += [f"{record.count} x {record.headline} ({record.cite})" for record in result.records]
        return [*told, *result.notes]
    if isinstance(result, Suspected):
        told = [f'{s.commit[:12]} "{s.subject}" by {s.author}: {"; ".join(s.reasons)}' for s in result.suspects]
        return [f"head {result.head[:12]}", *told, *result.notes]
    if isinstance(result, Confirmed):
        return [f"culprit {result.culprit[:12] if result.culprit else 'not found'}: {result.how}"]
    if isinstance(result, Drafted):
        what = f'"{result.title}", {len(result.patch):,} bytes on {result.base[:12]}' if result.patch else "no patch"
        return [what, *result.notes]
    return _tell_verified(result)


def _tell_verified(result: Verified) -> Sequence[str]:
    word = "verified" if result.is_verified else "not verified"
    runs = [f"{run.name}: {run.verdict.value}, {run.seconds:.1f} s" for run in result.runs]
    return [f"{word}: {result.before.value} before, {result.after.value} after ({result.rung})", *runs, *result.notes]
