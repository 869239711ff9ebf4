"""Addresses of remotes: which are allowed, and how credentials reach them without being seen."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from bot.errors import Reason, Rejected
from connectors.workspaces.git_commands import Call, Output, Settings, run_git
from connectors.workspaces.git_faults import mask

_SCP: Final = re.compile(r"(?P<user>[A-Za-z0-9][\w.-]*@)?(?P<host>[A-Za-z0-9][\w.-]*):(?P<path>[^-\s]\S*)")
_HOST: Final = re.compile(r"[A-Za-z0-9\[][\w.:\[\]-]*")
# A local repository of another user: git asks its owner, we were told by the configuration.
_LOCAL_PROGRAMS: Final = {
    "fetch": "--upload-pack=git -c safe.directory='*' -c core.fsmonitor=false upload-pack",
    "ls-remote": "--upload-pack=git -c safe.directory='*' -c core.fsmonitor=false upload-pack",
    "push": "--receive-pack=git -c safe.directory='*' -c core.fsmonitor=false receive-pack",
}


@dataclass(frozen=True, kw_only=True)
class Remote:
    """One checked address without credentials, and the configuration that carries them."""

    url: str
    is_local: bool = False
    config: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    async def run(self, settings: Settings, *args: str, folder: Path | None = None) -> Output:
        """Run `fetch`, `push` or `ls-remote`; the argument "{url}" stands for the address."""
        program = [_LOCAL_PROGRAMS[args[0]]] if self.is_local else []
        filled = [self.url if arg == "{url}" else arg for arg in args[1:]]
        return await run_git(
            Call(
                args=(args[0], *program, *filled),
                folder=folder,
                config=self.config,
                seconds=settings.remote_seconds,
                remote=True,
                secrets=self.secrets,
            )
        )


def _bad(url: str, why: str) -> Rejected:
    return Rejected(f"the repository address {mask(url)!r} {why}", Reason.NOT_ALLOWED)


def check_remote(url: str, settings: Settings) -> Remote:
    """Return the remote of an address, or raise `Rejected`: file, http, https and ssh are allowed, nothing else."""
    if not url or url.startswith("-") or re.search(r"[\x00-\x20\x7f]", url.strip(" ")) or url != url.strip():
        raise _bad(url, "is empty, begins with '-' or holds a space or control character")
    if "::" in url.split("/", 1)[0] or re.match(r"[A-Za-z0-9+.-]+::", url):
        raise _bad(url, "names a transport that is not allowed; use file, https, http or ssh")
    if "://" in url:
        return _with_scheme(url, settings)
    if _SCP.fullmatch(url) and not Path(url).exists():
        return Remote(url=url)
    return Remote(url=str(Path(url).resolve()), is_local=True)


def _with_scheme(url: str, settings: Settings) -> Remote:
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise _bad(url, "must look like file:///path")
        return Remote(url=f"file://{parts.path}", is_local=True)
    if parts.scheme not in {"http", "https", "ssh"}:
        raise _bad(url, "names a transport that is not allowed; use file, https, http or ssh")
    host = parts.netloc.rpartition("@")[2]
    if not _HOST.fullmatch(host):
        raise _bad(url, "names no host")
    if parts.scheme == "ssh":
        user = (parts.username or "").lstrip("-")
        return Remote(url=urlunsplit(("ssh", f"{user}@{host}" if user else host, parts.path, "", "")))
    return _over_http(urlunsplit((parts.scheme, host, parts.path, parts.query, "")), parts.netloc, settings)


def _over_http(url: str, netloc: str, settings: Settings) -> Remote:
    userinfo, _, host = netloc.rpartition("@")
    own = settings.tokens.get(host) or settings.tokens.get(host.partition(":")[0], "")
    user, _, password = (own if ":" in own else f"x-access-token:{own}").partition(":")
    if not own and userinfo:
        user, _, password = (unquote(part) for part in userinfo.partition(":"))
    config: dict[str, str] = {}
    if settings.proxy:
        config["http.proxy"] = settings.proxy
    if settings.ca_file:
        config["http.sslCAInfo"] = settings.ca_file
    if not password and not userinfo:
        return Remote(url=url, config=config)
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    parts = urlsplit(url)
    config[f"http.{parts.scheme}://{host}/.extraHeader"] = f"Authorization: Basic {basic}"
    # A redirect would carry the header to whoever the server names.
    config["http.followRedirects"] = "false"
    return Remote(url=url, config=config, secrets=tuple(s for s in (password or user, basic) if s))
