"""What the metrics say of the model: its servers, and its tokens."""

import json

from bot.domain.runs.transcript import Step, StepKind
from bot.metrics import MODEL_OPEN, MODEL_REQUESTS, MODEL_TOKENS
from bot.ports.model import ModelPlace, ModelTry, name_server

_ANSWERS = frozenset({StepKind.MODEL, StepKind.AUXILIARY})


def count_try(place: ModelPlace, tried: ModelTry) -> None:
    """Count a request by the address as it is configured: the worker says but its number."""
    urls = place.all_urls
    if tried.server in range(len(urls)):
        server = name_server(urls[tried.server])
        MODEL_REQUESTS.labels(server=server, result=tried.result.value).inc()
        MODEL_OPEN.labels(server=server).set(tried.is_open)


def count_tokens(step: Step) -> None:
    """Count those of an answer that a row holds."""
    body = json.loads(step.body)
    kind, body = (body["row"]["kind"], body["row"]["body"]) if step.kind is StepKind.HELPER else (step.kind, body)
    if kind not in _ANSWERS:
        return
    usage = body["usage"]
    for kind in ("prompt", "cached", "completion", "reasoning"):
        if usage.get(kind):
            MODEL_TOKENS.labels(kind=kind).inc(usage[kind])
