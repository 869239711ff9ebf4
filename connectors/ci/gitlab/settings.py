"""GitLab: how it is reached, and which of its projects our repositories are."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr

from bot.errors import ConfigError, Problem
from connectors.ci.http_client import HttpClient
from connectors.ci.http_settings import HttpSettings
from connectors.ci.http_transport import Transport

API: Final = "api/v4"


class Settings(HttpSettings):
    """`url` is the address of GitLab itself. `projects` maps a repository to "group/project" where its address does
    not say so. `webhook_secret` is the secret token of a webhook, `webhook_signing_secret` its signing token."""

    url: str = "https://gitlab.com"
    token: SecretStr
    projects: Mapping[str, str] = Field(default_factory=dict)
    webhook_secret: SecretStr | None = None
    webhook_signing_secret: SecretStr | None = None


def make_client(settings: Settings) -> HttpClient:
    return HttpClient(Transport("GitLab", settings, {"PRIVATE-TOKEN": settings.token.get_secret_value()}))


def map_projects(settings: Settings, repositories: Sequence[str]) -> Mapping[str, str]:
    """Return the path in the API of each repository's project. Raises `ConfigError`."""
    projects = {one: settings.projects.get(one) or _read_project(settings.url, one) for one in repositories}
    what = 'no project of this GitLab; name it in connections.gitlab.projects as "group/project"'
    problems = [Problem(where=f"repository {one}", what=what) for one, project in projects.items() if not project]
    if problems:
        raise ConfigError(problems)
    return {one: f"{API}/projects/{quote(project, safe='')}" for one, project in projects.items()}


def _read_project(url: str, repository: str) -> str:
    """Read "group/project" from https://host/group/project.git, ssh://git@host/… or git@host:…; "" for neither."""
    ours = urlsplit(url)
    if "://" not in repository:
        place, colon, path = repository.partition(":")
        host = place.rpartition("@")[2] if colon and "/" not in place else ""
    else:
        parts = urlsplit(repository)
        host, path = parts.hostname or "", parts.path
        if parts.scheme in {"http", "https"} and ours.path:
            path = path.removeprefix(ours.path) if path.startswith(f"{ours.path}/") else ""
    path = path.strip("/").removesuffix(".git")
    return path if host.lower() == (ours.hostname or "") and "/" in path else ""
