"""GitHub as a platform: CI, forge and webhooks over one client."""

import time
from collections.abc import Callable, Sequence

from bot.errors import ConfigError, Problem, Rejected
from connectors.ci.github.app import make_identity
from connectors.ci.github.forge import GitHubForge
from connectors.ci.github.hooks import GitHubHooks
from connectors.ci.github.provider import GitHubCI
from connectors.ci.github.refusals import NAME
from connectors.ci.github.settings import Settings
from connectors.ci.github.text import read_repository_name
from connectors.ci.http_client import HttpClient
from connectors.ci.http_transport import Transport


class Connector:
    """`bot.ports.ci.Platform`. `client` counts the calls, and knows what is left of the rate limit.

    Raises `ConfigError` for an App's key that cannot be used, and for an address that is none on GitHub.
    """

    def __init__(
        self, settings: Settings, repositories: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        names = _read_names(repositories)
        self._identity = make_identity(settings)
        explain = self._identity.explain
        self.client = HttpClient(Transport(NAME, settings, self._identity.sign_in, explain=explain, clock=clock))
        self.ci = GitHubCI(self.client, settings, names, clock)
        self.forge = GitHubForge(self.client, settings, names)
        secret = settings.webhook_secret
        self.hooks = GitHubHooks(secret.get_secret_value(), self.ci.forget_answers) if secret else None

    async def close(self) -> None:
        await self.client.close()
        await self._identity.close()


def _read_names(repositories: Sequence[str]) -> Sequence[str]:
    names: dict[str, None] = {}
    problems: list[Problem] = []
    for address in repositories:
        try:
            names[read_repository_name(address)] = None
        except Rejected as error:
            problems.append(Problem(where="services.<name>.repository", what=str(error)))
    if problems:
        raise ConfigError(problems)
    return tuple(names)
