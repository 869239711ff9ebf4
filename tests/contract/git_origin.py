"""A remote in the test's hands: a bare repository, and a smart HTTP server over loopback in front of it."""

import asyncio
import base64
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


@dataclass
class Origin:
    """A bare repository with a work tree beside it."""

    folder: Path
    clock: int = 1_760_000_000
    bare: Path = field(init=False)
    work: Path = field(init=False)

    def __post_init__(self) -> None:
        self.bare, self.work = self.folder / "origin.git", self.folder / "work"
        self.work.mkdir(parents=True)
        self._run(self.folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self._run(self.folder, "init", "-q", "-b", "main", str(self.work))
        self.git("remote", "add", "origin", str(self.bare))

    def _run(self, cwd: Path, *args: str, stdin: bytes = b"") -> str:
        env = ENV | {"GIT_AUTHOR_DATE": f"{self.clock} +0000", "GIT_COMMITTER_DATE": f"{self.clock} +0000"}
        done = subprocess.run(["git", *args], cwd=cwd, env=env, input=stdin, capture_output=True, check=True)
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def git(self, *args: str, stdin: bytes = b"") -> str:
        return self._run(self.work, *args, stdin=stdin)

    def in_bare(self, *args: str) -> str:
        return self._run(self.bare, *args)

    def commit(self, subject: str, files: Mapping[str, str | bytes | None], branch: str = "main") -> str:
        """Write (or, with None, remove) files, commit, push, and return the SHA."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.clock += 60
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.push(branch)

    def push(self, branch: str = "main") -> str:
        self.git("push", "-q", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def branches(self) -> dict[str, str]:
        out = self.in_bare("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads")
        return dict(line.split(" ", 1) for line in out.splitlines())


@dataclass
class GitServer:
    """What the server saw, and what it shall answer. `fail` is a status given to every request."""

    url: str
    token: str
    fail: int = 0
    hang: bool = False
    paths: list[str] = field(default_factory=list)


@asynccontextmanager
async def serve_git(origin: Origin, token: str = "") -> AsyncIterator[GitServer]:
    """Serve `origin` with git's own CGI program; with a token only to who knows it."""
    origin.in_bare("config", "http.receivepack", "true")
    server = GitServer(url="", token=token)
    expected = "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()

    async def answer(request: web.Request) -> web.StreamResponse:
        server.paths.append(f"{request.method} {request.path_qs}")
        if server.hang:
            await asyncio.sleep(60)
        if server.fail:
            return web.Response(status=server.fail, text="no")
        if token and request.headers.get("Authorization") != expected:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        return await run_backend(origin.folder, request, request.path)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}/origin.git"
    try:
        yield server
    finally:
        await runner.cleanup()


async def run_backend(root: Path, request: web.Request, path: str) -> web.Response:
    """Let git itself answer a request for `path` below `root`."""
    body = await request.read()
    env = ENV | {
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "QUERY_STRING": request.query_string,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_USER": "bot",
        "REMOTE_ADDR": "127.0.0.1",
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    process = await asyncio.create_subprocess_exec(
        "git", "http-backend", env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(body)
    head, _, content = out.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200").split(" ")[0])
    return web.Response(status=status, headers=headers, body=content)
