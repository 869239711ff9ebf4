"""What the model servers can do: the doctor's lines, and what a start says about it."""

from collections.abc import Sequence

import structlog

from bot.bootstrap.doctor.checks import Found, mend, ok
from bot.domain.models.contract import Ability, Contract
from bot.metrics import MODEL_ABILITY
from bot.ports.model import ModelPlace
from bot.settings import Settings
from connectors.models.openai_contract import examine_all

log = structlog.get_logger(__name__)
HOW = "start the model server, or mend NIGHTSHIFT_MODEL_URL, _NAME and _API_KEY; until then Nightshift works without it"


async def check_model(settings: Settings) -> Sequence[Found]:
    place = settings.model_place()
    if place is None:
        return [ok("model", "not configured; Nightshift works without one")]
    return [_tell(contract) for contract in await examine_all(place)]


def _tell(contract: Contract) -> Found:
    if contract.fault:
        return mend("model", f"{contract.server}: {contract.fault}", HOW)
    kind = f"sglang {contract.version}" if contract.version else "an OpenAI-compatible server"
    lost = "; ".join(contract.losses())
    if not contract.is_usable:
        return mend("model", f"{contract.server}, {kind}: {lost}", "see docs/sglang.md")
    return ok("model", f"{contract.server}, {kind}; {lost or 'does all that is used'}")


async def tell_contract(place: ModelPlace) -> None:
    """Say once, after the start, what the servers can do. Nothing waits for it, and nothing depends on it."""
    for contract in await examine_all(place):
        for ability in Ability:
            MODEL_ABILITY.labels(server=contract.server, ability=ability.value).set(ability in contract.able)
        say = log.info if contract.is_usable else log.warning
        lost = list(contract.losses())
        say("model_examined", server=contract.server, version=contract.version, fault=contract.fault, lost=lost)
