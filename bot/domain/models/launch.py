"""The launch line of a plan: each option with its reason. Options are those of sglang 0.5.23, and of smg 1.13.0 for the
router in front of several servers."""

from collections.abc import Sequence
from typing import Final

from bot.domain.models.plan import Plan
from bot.domain.models.profile import Flag

SGLANG: Final = "0.5.23"
PORT: Final = 30_000
RENDEZVOUS_PORT: Final = 5_000
SMG: Final = "1.13.0"
ROUTER_PORT: Final = 8_000
METRICS_PORT: Final = 29_000
DRAIN_SECONDS: Final = 600
"""How long a stopping server may finish what it works on: an answer takes minutes."""

_LAST_SECONDS: Final = 10
"""Of these, what is left to the router for itself once it no longer waits."""

OPTIONS: Final = frozenset({
    "--context-length",
    "--default-priority-value",
    "--dist-init-addr",
    "--dtype",
    "--enable-cache-report",
    "--enable-metrics",
    "--enable-priority-scheduling",
    "--host",
    "--kv-cache-dtype",
    "--max-queued-requests",
    "--max-running-requests",
    "--mem-fraction-static",
    "--model-path",
    "--moe-runner-backend",
    "--nnodes",
    "--node-rank",
    "--port",
    "--reasoning-parser",
    "--served-model-name",
    "--speculative-algorithm",
    "--speculative-draft-model-path",
    "--speculative-eagle-topk",
    "--speculative-num-draft-tokens",
    "--speculative-num-steps",
    "--tool-call-parser",
    "--tp-size",
    "--trust-remote-code",
})  # fmt: skip
"""Every option that a line of ours may hold. A profile with another one is refused."""


def build_flags(plan: Plan) -> tuple[Flag, ...]:
    """Return the options of one server, most important first; where it listens is added by `listening`."""
    profile, gpu = plan.profile, plan.ask.gpu.name
    flags = [
        Flag(name="--model-path", value=profile.repository, why="the weights; a folder of your own works too"),
        Flag(name="--served-model-name", value=profile.name, why="the name for NIGHTSHIFT_MODEL_NAME"),
        *_sharing(plan),
        *_memory(plan),
        *_parsers(plan),
        *_scheduling(plan),
    ]
    own = [*profile.flags, *(profile.draft.flags if profile.draft else ())]
    return (*flags, *(flag for flag in own if not flag.only or gpu in flag.only))


def listening(host: str, port: int = PORT) -> tuple[Flag, ...]:
    return (
        Flag(name="--host", value=host, why="where it listens; its metrics are open to whoever reaches the port"),
        Flag(name="--port", value=str(port), why="the port for NIGHTSHIFT_MODEL_URL"),
    )


def routing(workers: Sequence[str], *, host: str, port: int = ROUTER_PORT) -> list[str]:
    """Return the words that start the router in front of servers at these addresses."""
    return [
        "--worker-urls", *workers, "--policy", "cache_aware",
        # A full queue is no fault: with breakers a busy moment would close the way for what pages a person too.
        "--disable-circuit-breaker",
        # Of a server that is being stopped, or back, it knows after half a minute; by itself after three.
        "--health-check-interval-secs", "10",
        "--shutdown-grace-period-secs", str(DRAIN_SECONDS - _LAST_SECONDS),
        "--prometheus-host", "127.0.0.1", "--prometheus-port", str(METRICS_PORT),
        "--host", host, "--port", str(port),
    ]  # fmt: skip


def spanning(plan: Plan, *, rank: str, first: str) -> tuple[Flag, ...]:
    """Return what a server over several nodes needs more on each of them; none where it fits on one."""
    if plan.fit.span == 1:
        return ()
    return (
        Flag(name="--nnodes", value=str(plan.fit.span), why="one server over several nodes: it fits on no single one"),
        Flag(name="--node-rank", value=rank, why="which of them this is; 0 answers requests"),
        Flag(name="--dist-init-addr", value=f"{first}:{RENDEZVOUS_PORT}", why="where they find each other"),
    )


def as_words(flags: tuple[Flag, ...]) -> list[str]:
    """Return options as the words of a command."""
    return [word for flag in flags for word in (flag.name, flag.value) if word]


def _sharing(plan: Plan) -> list[Flag]:
    why = "the split that holds most runs" if plan.fit.split > 1 else "one GPU holds it"
    return [Flag(name="--tp-size", value=str(plan.fit.split), why=why)]


def _memory(plan: Plan) -> list[Flag]:
    fit = plan.fit
    flags = [
        Flag(
            name="--mem-fraction-static",
            value=f"{fit.fraction:.2f}",
            why="weights and cache take this part of the memory, the rest stays free for activations and graphs",
        ),
        Flag(
            name="--context-length",
            value=str(plan.context_length),
            why="twice a run: a longer prompt is refused instead of pushing others out of the cache",
        ),
    ]
    if plan.ask.cache_bytes == 1 and not plan.profile.has_precision_of_its_own:
        why = "half the memory per token; test the answers, long contexts lose a little"
        flags.append(Flag(name="--kv-cache-dtype", value="fp8_e4m3", why=why))
    return flags


def _parsers(plan: Plan) -> list[Flag]:
    flags = []
    if plan.profile.tool_parser:
        why = "without it tool calls arrive as text"
        flags.append(Flag(name="--tool-call-parser", value=plan.profile.tool_parser, why=why))
    if plan.profile.reasoning_parser:
        why = "keeps reasoning apart from the answer"
        flags.append(Flag(name="--reasoning-parser", value=plan.profile.reasoning_parser, why=why))
    return flags


def _scheduling(plan: Plan) -> list[Flag]:
    return [
        Flag(
            name="--max-running-requests",
            value=str(plan.running),
            why="as many as the cache holds whole, so that none is thrown out half-way",
        ),
        Flag(
            name="--max-queued-requests",
            value=str(max(4 * plan.running, 16)),
            why="beyond this it says busy at once, and Nightshift waits",
        ),
        Flag(name="--enable-priority-scheduling", why="what pages a person goes before what can wait"),
        Flag(name="--default-priority-value", value="0", why="requests without a priority go last, not first"),
        Flag(name="--enable-metrics", why="for `nightshift model status` and Prometheus"),
        Flag(name="--enable-cache-report", why="answers say how much of a prompt the cache had"),
    ]
