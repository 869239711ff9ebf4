"""Git with the configured credentials and ways out, as the front process uses it."""

from bot.settings import Settings
from connectors.workspaces.git import Git
from connectors.workspaces.git import Settings as GitSettings


def open_git(settings: Settings) -> Git:
    tokens = {host: token.get_secret_value() for host, token in settings.git.tokens.items()}
    return Git(GitSettings(tokens=tokens, proxy=settings.git.proxy, ca_file=settings.git.ca_file))
