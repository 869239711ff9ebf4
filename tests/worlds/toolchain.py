"""An operator's setup command without network: toolchain.py DISTRIBUTION… copies installed distributions, with what
they need, to $NIGHTSHIFT_TOOLCHAIN/lib."""

import os
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def find_needed(names: list[str]) -> set[str]:
    """Return the distributions and everything they need that is installed; extras are left out."""
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            if name in names:
                raise
            continue
        needed.add(name)
        waiting += [match[0].lower() for line in requires if ";" not in line and (match := _NAME.match(line))]
    return needed


def copy_distribution(name: str, target: Path) -> None:
    for file in distribution(name).files or []:
        source = Path(str(file.locate()))
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
            continue
        place = target / str(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


if __name__ == "__main__":
    library = Path(os.environ["NIGHTSHIFT_TOOLCHAIN"]) / "lib"
    for distribution_name in find_needed(sys.argv[1:]):
        copy_distribution(distribution_name, library)
