"""The profiles of the agent, read from TOML: those that come along, and those beside one's own playbooks."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from bot.agent.profiles import known_names
from bot.domain.agent_profile import AgentProfile, Mode, name_nearest, read_profile
from bot.domain.playbook import Playbook
from bot.errors import ConfigError, Problem

FOLDER: Final = "agents"


def load_profiles(folders: Sequence[Path], approvers: Collection[str]) -> Mapping[str, AgentProfile]:
    """Read all profiles; one's own win where names are equal. Raises `ConfigError` with all that is wrong."""
    shipped = [Path(str(entry)) for entry in (resources.files("playbooks") / FOLDER).iterdir()]
    paths = sorted(path for path in shipped if path.suffix == ".toml")
    paths += [path for folder in folders for path in sorted((folder / FOLDER).glob("*.toml"))]
    known, problems = known_names(sorted(approvers)), list[Problem]()
    found: dict[str, AgentProfile] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(where=str(path), what=f"cannot be read: {type(error).__name__}"))
            continue
        profile, faults = read_profile(path.stem, text, known)
        problems += [Problem(where=str(path), what=fault) for fault in faults]
        if profile is not None:
            found[profile.name] = profile
    if problems:
        raise ConfigError(problems)
    return found


def check_profiles(playbooks: Iterable[Playbook], profiles: Mapping[str, AgentProfile]) -> list[Problem]:
    """Return the playbooks whose profile there is not, or is for something else."""
    problems = []
    for playbook in playbooks:
        profile = profiles.get(playbook.agent)
        where = f"playbook {playbook.name}: agent"
        if profile is None:
            problems.append(Problem(where=where, what=f"no profile {name_nearest(playbook.agent, sorted(profiles))}"))
        elif profile.mode is Mode.QUESTION:
            problems.append(Problem(where=where, what=f'"{profile.name}" is for questions, not for investigations'))
    return problems
