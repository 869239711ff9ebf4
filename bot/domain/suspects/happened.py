"""One thing that changed before something broke: a commit, a deploy, a flag that somebody switched."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class WhatKind(StrEnum):
    CODE = "code"
    CONFIGURATION = "configuration"
    DEPENDENCIES = "dependencies"
    FLAG = "feature flag"
    INFRASTRUCTURE = "infrastructure"
    MERGE = "merge"
    DEPLOY = "deploy"
    ASIDE = "tests or documents"


@dataclass(frozen=True, kw_only=True)
class Happened:
    """One thing that changed. `source` is a commit, or who told of it; `score` orders, `reasons` say why."""

    kind: WhatKind
    what: str
    who: str
    at: datetime
    source: str
    score: float = 0.0
    reasons: tuple[str, ...] = ()


#: What people forget to look at: none of it is in the diff of a program.
ASIDE_FROM_CODE = frozenset(
    {WhatKind.CONFIGURATION, WhatKind.DEPENDENCIES, WhatKind.FLAG, WhatKind.INFRASTRUCTURE, WhatKind.DEPLOY}
)
