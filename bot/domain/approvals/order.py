"""Orders to a CI system that may not know them twice: each has a key of its own and is sent at most once."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bot.errors import Reason, Refused

_ARG: Final = re.compile(r"(?P<what>ci|deploy|rollback)(?P<attempt>[1-9][0-9]{0,2})")


class Ordered(StrEnum):
    """What an order starts: the checks of a pushed commit, the deployment of a merged one, a rollback to a release."""

    CI = "ci"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order. `attempt` counts from 1; a further one is a person's decision."""

    incident: str
    digest: str
    what: Ordered = Ordered.CI
    attempt: int = 1

    @property
    def key(self) -> str:
        """Return the name that goes along with the order, so that its run can be told from any other."""
        what = "" if self.what is Ordered.CI else f"-{self.what.value}"
        again = f"-{self.attempt}" if self.attempt > 1 else ""
        return f"nightshift-{self.incident}-{self.digest[:12]}{what}{again}"

    @property
    def arg(self) -> str:
        """Return how a button names it: "ci1", "deploy2", "rollback1"."""
        return f"{self.what.value}{self.attempt}"


def read_order(incident: str, digest: str, arg: str) -> Order:
    """Return the order that a button names. Raises `Refused`."""
    found = _ARG.fullmatch(arg)
    if found is None:
        raise Refused("Nightshift did not make this button. Nothing was done.", Reason.BAD_INPUT)
    return Order(incident=incident, digest=digest, what=Ordered(found["what"]), attempt=int(found["attempt"]))
