"""What changed before it began, in one list: code, configuration, packages, infrastructure, most suspect first."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from bot.domain.evidence import Suspect
from bot.domain.suspects.happened import Happened, WhatKind
from bot.domain.suspects.nearness import is_pin_file
from bot.domain.suspects.suspicion import Change, Clues, score_recency
from bot.domain.text.documents import is_document
from bot.domain.text.file_names import is_test_file
from bot.domain.text.vocabulary import split_words

MAX_LISTED: Final = 20

_INFRASTRUCTURE: Final = re.compile(
    r"(^|/)(Dockerfile[\w.-]*|[\w.-]*compose[\w.-]*\.ya?ml|Procfile|Vagrantfile|Jenkinsfile|nginx[\w.-]*\.conf)$"
    r"|(^|/)(terraform|k8s|kubernetes|helm|charts|ansible|deploy(ment)?s?|infra(structure)?|\.github/workflows)/"
    r"|\.(tf|tfvars|nomad)$|(^|/)\.gitlab-ci\.yml$",
    re.IGNORECASE,
)
_FLAGS: Final = re.compile(
    r"(^|/)[\w.-]*(feature[_-]?)?(flags?|toggles?|switches)[\w.-]*\.(json|ya?ml|toml|py|ts|js)$", re.I
)
_SETTINGS: Final = re.compile(
    r"\.(ya?ml|toml|ini|cfg|conf|properties|env|json|hcl)$|(^|/)(\.env[\w.-]*|config/|conf/|settings/)", re.IGNORECASE
)


def name_kind(files: Sequence[str], *, is_merge: bool = False) -> WhatKind:
    """Return what a commit changes, the most telling first: a pinned package with its lock file is no configuration."""
    if is_merge:
        return WhatKind.MERGE
    counted = [path for path in files if not is_test_file(path) and not is_document(path)]
    if not counted:
        return WhatKind.ASIDE
    for kind, holds in _KINDS.items():
        if any(holds(path) for path in counted) and not any(_is_program(path) for path in counted):
            return kind
    return WhatKind.CODE


def _is_program(path: str) -> bool:
    return not any(holds(path) for holds in _KINDS.values())


def _is_flag(path: str) -> bool:
    return _FLAGS.search(path) is not None


def _is_infrastructure(path: str) -> bool:
    return _INFRASTRUCTURE.search(path) is not None


def _is_setting(path: str) -> bool:
    return _SETTINGS.search(path) is not None


_KINDS: Final = {
    WhatKind.DEPENDENCIES: is_pin_file,
    WhatKind.FLAG: _is_flag,
    WhatKind.INFRASTRUCTURE: _is_infrastructure,
    WhatKind.CONFIGURATION: _is_setting,
}


def list_changes(
    changes: Sequence[Change],
    suspects: Sequence[Suspect],
    told: Sequence[Happened] = (),
    *,
    clues: Clues | None = None,
) -> tuple[Happened, ...]:
    """Return commits, as what they changed, and what others told of: by suspicion, then the newest."""
    ranked: Mapping[str, Suspect] = {suspect.commit: suspect for suspect in suspects}
    listed = [_tell(change, ranked.get(change.sha)) for change in changes]
    listed += [_weigh_told(change, clues or Clues()) for change in told]
    listed.sort(key=lambda each: (-each.score, -each.at.timestamp()))
    return tuple(listed[:MAX_LISTED])


def _tell(change: Change, suspect: Suspect | None) -> Happened:
    return Happened(
        kind=name_kind(change.files, is_merge=len(change.parents) > 1),
        what=change.subject,
        who=change.author,
        at=change.committed_at,
        source=change.sha,
        score=suspect.score if suspect else 0.0,
        reasons=suspect.reasons if suspect else (),
    )


def _weigh_told(change: Happened, clues: Clues) -> Happened:
    """Return a change without a diff with how suspect it is: how shortly before it began, what words it shares."""
    common = set(split_words(change.what)) & set(clues.words)
    shared = sorted(common, key=lambda word: (-clues.words[word], word))[:4]
    recency, age = score_recency(change.at, clues.first_error)
    told = [f"shares {', '.join(shared)} with the evidence"] if shared else []
    told += [text.removeprefix("committed ") for text in age]
    return replace(change, score=round(0.5 * recency + 0.3 * bool(shared), 4), reasons=tuple(told))
