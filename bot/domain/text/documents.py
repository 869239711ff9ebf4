"""Which files of a repository are written for people alone."""

import re
from pathlib import PurePosixPath

_DOC_NAME = re.compile(
    r"(\.(md|rst|adoc)|^(readme|changelog|changes|license|notice|authors|contributing|codeowners)(\.txt)?)$",
    re.IGNORECASE,
)


def is_document(path: str) -> bool:
    parts = PurePosixPath(path)
    return bool(_DOC_NAME.search(parts.name)) or parts.parts[0].lower() in {"doc", "docs"}
