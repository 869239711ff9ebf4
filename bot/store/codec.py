"""Domain values to JSON and back, checked on the way in. No pickle anywhere."""

from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter

from bot.domain.approval import Approval
from bot.domain.chat import Message
from bot.domain.ci import CIRun
from bot.domain.draft import FileChange, Risk
from bot.domain.incident import Incident
from bot.domain.investigation import Collected, Confirmed, Drafted, Stage, StageResult, Suspected, Verified

T = TypeVar("T")


class Codec(Generic[T]):
    """One type's way into a JSON column and out of it."""

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 -- a type form, which typing cannot name yet
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)

    def dump(self, value: T) -> dict[str, Any]:
        return self._adapter.dump_python(value, mode="json")  # type: ignore[no-any-return] # a dataclass dumps to a dict

    def load(self, body: dict[str, Any]) -> T:
        return self._adapter.validate_python(body)


INCIDENT: Final = Codec[Incident](Incident)
APPROVAL: Final = Codec[Approval](Approval)
CI_RUN: Final = Codec[CIRun](CIRun)
MESSAGE: Final = Codec[Message](Message)
VERIFIED: Final = Codec[Verified](Verified)
RISK: Final = Codec[Risk](Risk)
FILE_CHANGE: Final = Codec[FileChange](FileChange)

_STAGES: Final[dict[Stage, Codec[Any]]] = {
    Stage.COLLECT: Codec(Collected),
    Stage.SUSPECT: Codec(Suspected),
    Stage.CONFIRM: Codec(Confirmed),
    Stage.DRAFT: Codec(Drafted),
    Stage.VERIFY: Codec(Verified),
}
_STAGE_OF: Final[dict[type, Stage]] = {
    Collected: Stage.COLLECT,
    Suspected: Stage.SUSPECT,
    Confirmed: Stage.CONFIRM,
    Drafted: Stage.DRAFT,
    Verified: Stage.VERIFY,
}


def dump_stage(result: StageResult) -> tuple[Stage, dict[str, Any]]:
    """Return which stage a result belongs to, and its JSON form."""
    stage = _STAGE_OF[type(result)]
    return stage, _STAGES[stage].dump(result)


def load_stage(stage: str, body: dict[str, Any]) -> StageResult:
    result: StageResult = _STAGES[Stage(stage)].load(body)
    return result
