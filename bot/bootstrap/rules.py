"""The rulebook, the playbooks and the redactor, from the configuration."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from pathlib import Path

from bot.agent.redaction import Redactor, load_redactor
from bot.bootstrap.profiles import check_profiles, find_efforts, find_second_reasoning, find_seeing, load_profiles
from bot.domain.patches.patch import PatchLimits
from bot.domain.playbook import Playbook, parse_playbook
from bot.domain.runs.profile import AgentProfile
from bot.errors import ConfigError, Problem, Refused
from bot.render.playbook import check_text
from bot.services.rulebook import Rulebook
from bot.settings import Settings
from bot.settings_mcp import list_far_names

KEY_BYTES = 32


def read_secret_file(path: Path) -> str:
    """Return the secret kept in a file that only its owner can read; make one at first use."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(KEY_BYTES), encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def load_rules(settings: Settings) -> Rulebook:
    policy = settings.approval_policy()
    playbooks, profiles = _load_agent(settings.playbook_dirs, policy.approvers, list_far_names(settings.mcp))
    return Rulebook(
        roster=settings.roster(),
        services=settings.service_map(),
        routes=settings.route_list(),
        escalations=settings.escalation_map(),
        policy=policy,
        channels=tuple(settings.channels),
        playbooks=_leave_general(playbooks, settings),
        profiles=profiles,
        reasoning=find_efforts(settings, profiles),
        second_reasoning=find_second_reasoning(settings),
        seeing=find_seeing(settings, profiles),
        auth_paths=settings.approval.auth_paths,
        patch_limits=PatchLimits(
            bytes=settings.limits.patch_bytes, files=settings.limits.patch_files, lines=settings.limits.patch_lines
        ),
        link_life=timedelta(seconds=settings.limits.link_seconds),
        question_wait=timedelta(seconds=settings.model.question_seconds),
        watch_shortest=timedelta(seconds=settings.model.watch_seconds),
        has_model=settings.model_place() is not None,
        has_titles=settings.model_place() is not None and settings.model.titles,
    )


def _load_agent(
    folders: tuple[Path, ...], approvers: tuple[str, ...], far: tuple[str, ...]
) -> tuple[tuple[Playbook, ...], Mapping[str, AgentProfile]]:
    """Read playbooks and profiles. Raises `ConfigError` with all that is wrong with both."""
    problems, playbooks, profiles = list[Problem](), tuple[Playbook, ...](), dict[str, AgentProfile]()
    try:
        playbooks = load_playbooks(folders)
    except ConfigError as error:
        problems += error.problems
    try:
        profiles |= load_profiles(folders, approvers, far)
        problems += check_profiles(playbooks, profiles)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return playbooks, profiles


def _leave_general(playbooks: tuple[Playbook, ...], settings: Settings) -> tuple[Playbook, ...]:
    """Return the playbooks without the general one that comes with Nightshift, where it is not wanted."""
    if settings.general_playbook:
        return playbooks
    return tuple(playbook for playbook in playbooks if not (playbook.otherwise and playbook.is_shipped))


def find_playbooks(settings: Settings) -> tuple[Playbook, ...]:
    """Return the playbooks that alerts are answered by. Raises `ConfigError`."""
    return _leave_general(load_playbooks(settings.playbook_dirs), settings)


def load_playbooks(folders: tuple[Path, ...]) -> tuple[Playbook, ...]:
    """Read the playbooks that come with Nightshift and the operator's own, which win where names are equal."""
    problems: list[Problem] = []
    found: dict[str, Playbook] = {}
    own = [path for folder in folders for path in sorted(folder.glob("*.md"))]
    shipped = [Path(str(entry)) for entry in resources.files("playbooks").iterdir() if entry.name.endswith(".md")]
    for path in [*sorted(shipped), *own]:
        if path.name == "README.md":
            continue
        try:
            playbook = parse_playbook(path.read_text(encoding="utf-8"))
            check_text(playbook)
        except (Refused, OSError, UnicodeDecodeError) as error:
            problems.append(Problem(where=str(path), what=str(error)))
            continue
        found[playbook.name] = replace(playbook, is_shipped=path in shipped)
    if problems:
        raise ConfigError(problems)
    return tuple(found.values())


def make_redactor(settings: Settings, admin_token: str) -> Redactor:
    """Return the redactor that knows this installation's secrets. Raises `ConfigError` where its rules are broken."""
    key = read_secret_file(settings.server.state_dir / "redaction.key").encode()
    return load_redactor([*settings.secrets(), admin_token], key)
