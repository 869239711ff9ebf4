"""GitHub: Actions and every other check on it as CI, pull requests, webhooks. Configuration name: "github"."""

from connectors.ci.github.connector import Connector
from connectors.ci.github.provider import GitHubCI
from connectors.ci.github.settings import Settings

__all__ = ["Connector", "GitHubCI", "Settings"]
