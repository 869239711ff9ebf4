"""What people say while the model works: user turns that stand in the row after which the model reads them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.agent.images import keep_image
from bot.agent.transcript import State, dump
from bot.domain.runs.image import Image
from bot.domain.runs.transcript import Step, StepKind


@dataclass(frozen=True, kw_only=True)
class Words:
    """What one person said, and the images with it that the model is shown."""

    key: str
    text: str
    images: tuple[Image, ...] = ()


def add_said(step: Step, said: Sequence[Words]) -> Step:
    """Return the row with what people said: user turns that follow its message."""
    body = json.loads(step.body)
    return replace(step, body=dump(body | {"said": [_keep(words) for words in said]}))


def _keep(words: Words) -> dict[str, Any]:
    images = [keep_image(image) for image in words.images]
    return {"key": words.key, "content": words.text} | ({"images": images} if images else {})


def takes_said(state: State, step: Step) -> bool:
    """Say whether a user turn may follow the row: no call is left without its answer then."""
    if step.kind is StepKind.MODEL:
        return not json.loads(step.body)["message"].get("tool_calls")
    return step.kind in {StepKind.TASK, StepKind.NOTE} or (step.kind is StepKind.TOOL and len(state.pending) == 1)


def list_said(rows: Iterable[Step]) -> frozenset[str]:
    """Return the keys of what people said that the rows hold."""
    return frozenset(said["key"] for row in rows for said in json.loads(row.body).get("said", ()))


def read_images(rows: Iterable[Step]) -> tuple[str, ...]:
    """Return the digests of the images that rows name; none of a row that cannot be read."""
    found: list[str] = []
    for row in rows:
        try:
            said = json.loads(row.body).get("said", ())
            found += [str(image["sha256"]) for one in said for image in one.get("images", ())]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return tuple(dict.fromkeys(found))
