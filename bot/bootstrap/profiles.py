"""The profiles of the agent, read from TOML: those that come along, and those beside one's own playbooks."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from bot.bootstrap.model_profiles import find_known, find_reasoning
from bot.domain.models.reasoning import Reasoning
from bot.domain.playbook import Playbook
from bot.domain.runs.profile import AgentProfile, Known, Mode, known_names, name_nearest, read_profile
from bot.errors import ConfigError, Problem, Reason, Refused
from bot.settings import Settings

FOLDER: Final = "agents"


def load_profiles(
    folders: Sequence[Path], approvers: Collection[str], far: Collection[str] = ()
) -> Mapping[str, AgentProfile]:
    """Read all profiles; one's own win where names are equal. `far` are names of tools of other servers. Raises
    `ConfigError` with all that is wrong."""
    shipped = [Path(str(entry)) for entry in (resources.files("playbooks") / FOLDER).iterdir()]
    paths = sorted(path for path in shipped if path.suffix == ".toml")
    paths += [path for folder in folders for path in sorted((folder / FOLDER).glob("*.toml"))]
    known, problems = known_names(sorted(approvers), sorted(far)), list[Problem]()
    found: dict[str, AgentProfile] = {}
    for path in paths:
        profile, wrong = _read_file(path, known)
        problems += wrong
        if profile is not None:
            found[profile.name] = profile
    if problems:
        raise ConfigError(problems)
    return found


def _read_file(path: Path, known: Known) -> tuple[AgentProfile | None, Sequence[Problem]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem(where=str(path), what=f"cannot be read: {type(error).__name__}")]
    profile, faults = read_profile(path.stem, text, known)
    return profile, [Problem(where=str(path), what=fault) for fault in faults]


def find_profile(
    named: str, folders: Sequence[Path], approvers: Collection[str], far: Collection[str] = ()
) -> AgentProfile:
    """Return the profile that somebody names, or whose file (`*.toml`) they name. Raises `ConfigError` with all that is
    wrong with it, `Refused` where there is none, or it is for questions."""
    if named.endswith(".toml"):
        found, problems = _read_file(Path(named), known_names(sorted(approvers), sorted(far)))
        if problems:
            raise ConfigError(list(problems))
    else:
        profiles = load_profiles(folders, approvers, far)
        found = profiles.get(named)
        if found is None:
            raise Refused(f"There is no profile {name_nearest(named, sorted(profiles))}", Reason.NOT_FOUND)
    assert found is not None
    if found.mode is Mode.QUESTION:
        raise Refused(f'The profile "{found.name}" is for questions; there is none here.', Reason.BAD_INPUT)
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


def find_efforts(settings: Settings, profiles: Mapping[str, AgentProfile]) -> Mapping[str, Reasoning]:
    """Return by profile how its model thinks; nothing where no model is configured. Raises `ConfigError`, also over an
    effort that a model has not."""
    place, problems, found = settings.model_place(), list[Problem](), dict[str, Reasoning]()
    known = dict[str, Reasoning]()
    for profile in profiles.values() if place else ():
        assert place is not None
        model = profile.model or place.name
        try:
            if model not in known:
                known[model] = find_reasoning(settings.model.profile if model == place.name else "", model)
        except Refused as error:
            raise ConfigError([Problem(where="model.profile", what=str(error))]) from None
        found[profile.name] = reasoning = known[model]
        if profile.effort and profile.effort not in reasoning.efforts:
            has = ", ".join(reasoning.efforts) or "nothing; model.profile names the model's file"
            what = f'"{profile.effort}" is not known of the model {model[:100]}: there is {has}'
            problems.append(Problem(where=f"profile {profile.name}: effort", what=what))
    if problems:
        raise ConfigError(problems)
    return found


def find_second_reasoning(settings: Settings) -> Reasoning:
    """Return how the second model thinks; nothing is known where there is none. Raises `ConfigError`."""
    second = settings.model.second
    if not second.url and not second.urls:
        return Reasoning()
    try:
        return find_reasoning(second.profile, second.name)
    except Refused as error:
        raise ConfigError([Problem(where="model.second.profile", what=str(error))]) from None


def find_seeing(settings: Settings, profiles: Mapping[str, AgentProfile]) -> frozenset[str]:
    """Return the profiles whose model sees images, as far as its profile is known; those that `find_efforts` takes."""
    place = settings.model_place()
    if place is None:
        return frozenset()
    own = settings.model.profile
    models = {profile.name: profile.model or place.name for profile in profiles.values()}
    known = {model: find_known(own if model == place.name else "", model) for model in {*models.values()}}
    seeing = {model for model, found in known.items() if found and found.has_vision}
    return frozenset(name for name, model in models.items() if model in seeing)
