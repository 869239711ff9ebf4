"""Where a model answers that an option names."""

from dataclasses import replace

from bot.domain.text.wellformed import fault_of_web_address
from bot.errors import Reason, Refused
from bot.ports.model import ModelPlace
from bot.settings import Settings


def find_place(settings: Settings, url: str) -> ModelPlace | None:
    """Return the model at `url`, else the configured one, None where there is neither. Raises `Refused` where the
    address is none."""
    configured = settings.model_place()
    if not url:
        return configured
    fault = fault_of_web_address(url)
    if fault:
        raise Refused(f"--model-url {fault}", Reason.BAD_INPUT)
    if configured is None:  # then the key and whatever else is configured is for this one
        return settings.model_copy(update={"model_url": url}).model_place()
    if url in configured.urls:
        return replace(configured, url=url, others=(), second=None)
    # the configured key is for the configured server alone
    return replace(configured, url=url, api_key="", others=(), second=None)
