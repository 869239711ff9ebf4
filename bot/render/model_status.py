"""What `model status` and `model bench` print."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from bot.domain.models.bench import BenchResult, Load
from bot.domain.models.status import ModelStatus
from bot.render.words import write_count, write_line, write_list

JSON_VERSION: Final = 1
MOST_FAULTS: Final = 3


def show_status(status: ModelStatus, url: str) -> str:
    """Return how a server is doing, and what it does not let one see."""
    rows = {
        "model": write_list([write_line(name) for name in status.models]) or "not told",
        "server": f"sglang {write_line(status.version)}".strip() if status.is_sglang else "OpenAI-compatible",
        "running": _number(status.running),
        "queued": _number(status.queued),
        "cache hits": _hits(status),
        "cache used": _part(status.cache_used),
        "tokens/s": "" if status.tokens_per_second is None else f"{status.tokens_per_second:,.0f}",
        "accept length": "" if status.accept_length is None else f"{status.accept_length:.2f} tokens per step",
    }
    lines = [f"{url} answers.", *_table(rows)]
    if status.unseen:
        lines += ["", f"It does not show {write_list(status.unseen)}.", _why_unseen(status)]
    return "\n".join(lines) + "\n"


def status_as_json(status: ModelStatus, url: str) -> dict[str, Any]:
    return {"version": JSON_VERSION, "url": url, **_renamed(asdict(status)), "unseen": list(status.unseen)}


def show_bench(result: BenchResult, load: Load) -> str:
    """Return what a load showed, most important first."""
    runs = write_count(load.runs, "run")
    lines = [
        f"{runs} at a time, {write_count(load.turns, 'turn')} each, at most {load.answer_tokens} tokens an answer."
    ]
    if result.tokens:
        rows = {
            "tokens/s, all runs": f"{result.tokens_per_second:,.1f}",
            "tokens/s, one run": f"{result.run_tokens_per_second:,.1f}",
            "first word": f"{_ms(result.first_p50)} p50, {_ms(result.first_p99)} p99",
            "measured": f"{result.tokens:,} tokens in {result.seconds:,.1f} s, {write_count(result.calls, 'call')}",
        }
        lines += ["", *_table(rows), "", *_turns(result)]
    if result.failed:
        lines += ["", f"{write_count(len(result.failed), 'call')} failed:"]
        lines += [f"  - {write_line(fault)}" for fault in dict.fromkeys(result.failed[:MOST_FAULTS])]
    return "\n".join(lines) + "\n"


def bench_as_json(result: BenchResult, load: Load) -> dict[str, Any]:
    return {"version": JSON_VERSION, "load": asdict(load), **asdict(result)}


def _turns(result: BenchResult) -> list[str]:
    if any(turn.share is None for turn in result.turns):
        return ["The server does not say how much of a prompt it had already (sglang: --enable-cache-report)."]
    lines = [f"  turn {turn.number}  {turn.prompt:>7,} tokens  {_part(turn.share)}" for turn in result.turns]
    return ["Of each prompt it had already", *lines]


def _why_unseen(status: ModelStatus) -> str:
    if status.is_sglang:
        return "A figure that is missing appears after the first requests."
    return "sglang shows it with --enable-metrics; behind a gateway ask each server itself. Nightshift works without."


def _hits(status: ModelStatus) -> str:
    parts = [] if status.hit_rate is None else [f"{_part(status.hit_rate)} now"]
    if status.cached_since_start is not None:
        parts.append(f"{_part(status.cached_since_start)} since the start")
    return ", ".join(parts)


def _table(rows: Mapping[str, str]) -> list[str]:
    shown = {name: value for name, value in rows.items() if value}
    width = max(len(name) for name in shown)
    return [f"  {name:<{width}}  {value}" for name, value in shown.items()]


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _part(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """Keep the format's own "version" apart from the server's."""
    return {("server_version" if name == "version" else name): value for name, value in fields.items()}
