"""What `model plan` prints: whether a model fits, the line that starts it, and the arithmetic behind both."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bot.domain.models.launch import SGLANG, as_words, build_flags, listening, spanning
from bot.domain.models.plan import Plan
from bot.domain.models.profile import GIB, CacheKind, CacheLayers, Flag
from bot.render.words import write_count

PROGRAM: Final = ("python3", "-m", "sglang.launch_server")
LOCAL: Final = "127.0.0.1"
SHOWN_FIRST: Final = "NODE_0"
"""Stands for the address of a server's first node where the line is shown."""

JSON_VERSION: Final = 1


def all_flags(plan: Plan, *, host: str = LOCAL, rank: str = "0", first: str = SHOWN_FIRST) -> tuple[Flag, ...]:
    """Return every option of the line that starts one server (or its part on one node)."""
    return (*build_flags(plan), *spanning(plan, rank=rank, first=first), *listening(host))


def show_command(words: Sequence[str], *, indent: str = "  ") -> str:
    """Return a command as a shell takes it, one option a line."""
    lines, rest = [indent + shlex.join(words[:3])], list(words[3:])
    while rest:
        size = 2 if len(rest) > 1 and not rest[1].startswith("--") else 1
        lines.append(f"{indent}  {shlex.join(rest[:size])}")
        del rest[:size]
    return " \\\n".join(lines)


def show_plan(plan: Plan, remedies: Sequence[Plan]) -> str:
    """Return the plan as text; `remedies` are what would suffice where it does not."""
    parts = [_verdict(plan), *_shortfall(plan, remedies)]
    if plan.fits:
        parts += [_line(plan), _memory(plan), _cache(plan), _reasons(all_flags(plan))]
    else:
        parts += [_memory(plan), _cache(plan)]
    parts += [_list("Good to know", plan.profile.notes), _list("Where the figures are from", _sources(plan))]
    text = f"Nothing here is measured: options are those of sglang {SGLANG}; `nightshift model bench` measures."
    return "\n\n".join(part for part in [*parts, text] if part) + "\n"


def plan_as_json(plan: Plan, remedies: Sequence[Plan]) -> dict[str, Any]:
    """Return what `model plan --json` prints."""
    fit, share = plan.fit, plan.fit.share
    return {
        "version": JSON_VERSION,
        "model": plan.profile.name,
        "repository": plan.profile.repository,
        "gpu": plan.ask.gpu.name,
        "gpus_per_node": plan.ask.gpus,
        "nodes": plan.ask.nodes,
        "fits": plan.fits,
        "suffices": plan.suffices,
        "servers": plan.servers,
        "nodes_per_server": fit.span,
        "tensor_parallel": fit.split,
        "unused_gpus": plan.unused,
        "context": plan.ask.context,
        "runs": plan.runs,
        "runs_per_server": fit.runs,
        "tokens_per_server": fit.tokens,
        "bytes_per_token_and_gpu": round(fit.token_bytes),
        "state_bytes_per_run_and_gpu": fit.state_bytes,
        "bytes_per_gpu": {
            "memory": share.memory,
            "weights": share.weights,
            "draft": share.draft,
            "kept_free": share.free,
            "cache": share.room,
        },
        "command": [*PROGRAM, *as_words(all_flags(plan))] if plan.fits else [],
        "flags": [{"name": flag.name, "value": flag.value, "why": flag.why} for flag in all_flags(plan)],
        "would_suffice": [_name_change(plan, remedy) for remedy in remedies],
        "notes": list(plan.profile.notes),
        "sources": _sources(plan),
    }


def _verdict(plan: Plan) -> str:
    where = _where(plan)
    if not plan.fits:
        return f"{plan.profile.title} does not fit on {where}."
    servers = f" in {write_count(plan.servers, 'server')}" if plan.servers > 1 else ""
    text = f"{plan.profile.title} fits on {where}: {write_count(plan.runs, 'run')} at a time{servers}"
    text += f", each with {plan.ask.context:,} tokens."
    if plan.unused:
        text += f" {write_count(plan.unused, 'GPU')} would stay idle."
    return text


def _where(plan: Plan) -> str:
    nodes = f"{plan.ask.nodes} nodes with " if plan.ask.nodes > 1 else ""
    each = " each" if plan.ask.nodes > 1 else ""
    return f"{nodes}{plan.ask.gpus} × {plan.ask.gpu.name}{each}"


def _shortfall(plan: Plan, remedies: Sequence[Plan]) -> list[str]:
    if plan.suffices:
        return []
    lines = [_missing(plan)]
    if remedies:
        lines += ["Any one of these would do:", *(f"  - {_name_change(plan, remedy)}" for remedy in remedies)]
    else:
        lines.append("No single change would do: take a smaller model, or change several things at once.")
    return ["\n".join(lines)]


def _missing(plan: Plan) -> str:
    if plan.ask.context > plan.profile.context:
        return f"The model reads {plan.profile.context:,} tokens at most; {plan.ask.context:,} were asked for."
    if plan.fit.share.room <= 0:
        return f"On each GPU {_gib(-plan.fit.share.room)} are missing before the first token is read."
    if not plan.fits:
        return f"The weights leave room for {plan.fit.tokens:,} tokens; one run needs {plan.ask.context:,}."
    return f"{write_count(plan.ask.concurrency, 'run')} at a time were asked for; the others would wait in the queue."


def _name_change(plan: Plan, remedy: Plan) -> str:
    now, then = plan.ask, remedy.ask
    if then.cache_bytes != now.cache_bytes:
        what = "a cache in 8 bits (--cache fp8)"
    elif then.gpus != now.gpus:
        what = f"{then.gpus} × {then.gpu.name}{' in each node' if then.nodes > 1 else ''}"
    elif then.nodes != now.nodes:
        what = f"{then.nodes} such nodes"
    elif then.gpu != now.gpu:
        what = f"{then.gpus} × {then.gpu.name}"
    else:
        what = f"runs of {then.context:,} tokens (--context {then.context})"
    return f"{what}: {write_count(remedy.runs, 'run')} at a time"


def _line(plan: Plan) -> str:
    head = "It starts with"
    if plan.fit.span > 1:
        head = f"Each server spans {plan.fit.span} nodes; on the first it starts with (--node-rank 1 on the second)"
    elif plan.servers > 1:
        head = "On each node it starts with (and smg in front of them: see --write)"
    return f"{head}\n\n{show_command([*PROGRAM, *as_words(all_flags(plan))])}"


def _memory(plan: Plan) -> str:
    share, profile = plan.fit.share, plan.profile
    among = write_count(plan.fit.split, "GPU")
    how = f"{profile.weights_bytes / 1e9:,.0f} GB in {profile.precision}, shared out among {among}"
    rows = [("weights", share.weights, how)]
    if profile.draft and share.draft:
        known = "an allowance, its size is not published" if profile.draft.is_allowance else "its files"
        rows.append(("draft", share.draft, known))
    images = ", and for images" if profile.has_vision else ""
    rows.append(("kept free", share.free, f"activations, graphs, buffers{images}"))
    if share.room > 0:
        rows.append(("cache", share.room, f"{plan.fit.tokens:,} tokens in each server"))
    else:
        rows.append(("missing", -share.room, "before the first token"))
    lines = [f"  {name:<9} {_gib(size):>10}  {what}" for name, size, what in rows]
    return "\n".join([f"Memory of each GPU, {_gib(share.memory)}", *lines])


def _cache(plan: Plan) -> str:
    lines = [f"  {_explain(part, plan)}" for part in plan.profile.cache]
    draft = plan.profile.draft
    if draft and draft.layers:
        lines.append(f"  and {draft.layers} more of {plan.profile.layers} layers for the draft")
    per_run = f", and {plan.fit.state_bytes / 1e6:,.0f} MB per run" if plan.fit.state_bytes else ""
    total = f"Cache: {plan.fit.token_bytes:,.0f} bytes per token on each GPU{per_run}"
    return "\n".join([total, *lines])


def _explain(part: CacheLayers, plan: Plan) -> str:
    split, element = plan.fit.split, plan.ask.cache_bytes
    share = f" × {part.slots:g} of the tokens (a window)" if part.slots < 1 else ""
    if part.kind is CacheKind.HEADS:
        heads = -(-part.kv_heads // split)
        how = f"2 (key, value) × {heads} of {part.kv_heads} KV heads × {part.head_size} × {element} bytes"
    elif part.kind is CacheKind.LATENT:
        how = f"a latent row of {part.width} × {element} bytes, whole on every GPU"
    elif part.kind is CacheKind.ROWS:
        packed = f" for {part.tokens_per_row} tokens" if part.tokens_per_row > 1 else ""
        how = f"{part.row_bytes} bytes{packed}, whole on every GPU"
    else:
        how = f"a state of {part.run_bytes:,} bytes for each run, shared out"
    return f"{part.layers} layers × {how}{share}"


def _reasons(flags: Iterable[Flag]) -> str:
    shown = [(f"{flag.name} {flag.value}".strip(), flag.why) for flag in flags]
    width = min(max(len(option) for option, _ in shown), 44)
    return "\n".join(["Why", *(f"  {option:<{width}}  {why}" for option, why in shown)])


def _sources(plan: Plan) -> list[str]:
    return [*plan.profile.sources, f"{plan.ask.gpu.name}: {plan.ask.gpu.source}"]


def _list(head: str, items: Sequence[str]) -> str:
    return "\n".join([head, *(f"  - {item}" for item in items)]) if items else ""


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB"
