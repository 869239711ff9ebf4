"""What may go wrong between the forge and who asks it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random


@dataclass(kw_only=True)
class Answer:
    """An answer given instead of the true one, so many times. With `after`, what was asked is done all the same.

    Status 0 is no answer: the connection is cut.
    """

    status: int
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = ".*"
    method: str = ".*"
    times: int = 1
    after: bool = False

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and bool(re.fullmatch(self.method, method)) and bool(re.fullmatch(self.path, path))


@dataclass(kw_only=True)
class Faults:
    """`lose` is the share of calls that are carried out while the answer never comes: the connection is cut, after
    `hang_seconds`. `slow` is how long every answer takes. `lag` is how many seconds later listings show a run. `quota`
    is what is left of the rate limit."""

    lose: float = 0.0
    hang_seconds: float = 0.0
    slow: float = 0.0
    lag: float = 0.0
    quota: int = 5000
    answers: list[Answer] = field(default_factory=list)
    chance: Random = field(default_factory=lambda: Random(20))

    def take(self, method: str, path: str) -> Answer | None:
        """Return the answer that is to be given to a call, and count it."""
        for answer in self.answers:
            if answer.fits(method, path):
                answer.times -= 1
                return answer
        return None

    def loses(self) -> bool:
        return self.lose > 0 and self.chance.random() < self.lose
