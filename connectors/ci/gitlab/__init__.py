"""GitLab: merge requests, pipelines and webhooks."""

from collections.abc import Sequence

from connectors.ci.gitlab.hooks import GitLabHooks
from connectors.ci.gitlab.merge_requests import GitLabForge
from connectors.ci.gitlab.pipelines import GitLabCI
from connectors.ci.gitlab.settings import Settings, make_client, map_projects

__all__ = ["Connector", "GitLabCI", "GitLabForge", "GitLabHooks", "Settings"]


class Connector:
    """`bot.ports.ci.Platform` for GitLab."""

    def __init__(self, settings: Settings, repositories: Sequence[str]) -> None:
        projects = map_projects(settings, repositories)
        self._client = make_client(settings)
        self.ci = GitLabCI(self._client, projects)
        self.forge = GitLabForge(self._client, projects)
        has_secret = settings.webhook_secret is not None or settings.webhook_signing_secret is not None
        self.hooks = GitLabHooks(settings) if has_secret else None

    async def close(self) -> None:
        await self._client.close()
