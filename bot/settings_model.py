"""From `[model]` and `[model.second]` to the places where models answer."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bot.domain.text.wellformed import fault_of_web_address
from bot.errors import Problem
from bot.ports.model import ModelPlace
from bot.settings_sections import ModelSettings, SecondModelSettings


def build_place(model: ModelSettings, named: Mapping[str, Any]) -> ModelPlace | None:
    """Return where the model answers, None where no address is set; what is `named` wins over the section."""
    first = model.model_copy(update=dict(named))
    place = _place(first)
    return place and replace(place, second=_place(model.second))


def _place(model: ModelSettings | SecondModelSettings) -> ModelPlace | None:
    urls = tuple(dict.fromkeys(url.strip() for url in (model.url, *model.urls) if url.strip()))
    if not urls:
        return None
    return ModelPlace(
        url=urls[0],
        others=urls[1:],
        name=model.name,
        api_key=model.api_key.get_secret_value() if model.api_key else "",
        proxy=model.proxy,
        ca_file=model.ca_file,
        extra=json.dumps(model.extra, sort_keys=True) if model.extra else "",
    )


def list_addresses(model: ModelSettings) -> list[str]:
    """Return every address in the section, for the passwords that may stand there."""
    return [address for part in (model, model.second) for address in (part.url, *part.urls, part.proxy)]


def check_model(model: ModelSettings, place: ModelPlace | None) -> Iterator[Problem]:
    """Yield what is wrong with the addresses."""
    for where, urls in (("model_url", place.urls if place else ()), ("model.second", _place_urls(model))):
        for fault in filter(None, map(fault_of_web_address, urls)):
            yield Problem(where=where, what=fault)
    if model.second.url and place is None:
        yield Problem(where="model.second", what="stands in for a first model; set model.url")


def _place_urls(model: ModelSettings) -> tuple[str, ...]:
    second = _place(model.second)
    return second.urls if second else ()
