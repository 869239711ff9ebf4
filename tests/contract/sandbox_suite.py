"""What every rung of the sandbox must do; a rung's test class inherits it and gives one fixture."""

import asyncio
import contextlib
import io
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from bot.errors import LimitReached, Rejected
from bot.ports.sandbox import Sandbox, SandboxJob, SandboxLimits, SandboxResult

MIB = 1024 * 1024
MARK = "nightshift-contract-mark"


def make_tar(**files: bytes | tarfile.TarInfo) -> bytes:
    """Return a tar archive; `__` in a name stands for a slash."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def make_member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = link
    return member


def find_marked(mark: str) -> list[int]:
    """Return the processes of this machine that carry `mark` in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def python(sandbox: Sandbox, code: str, **job: object) -> SandboxResult:
    return await sandbox.run(SandboxJob(argv=("python3", "-c", code, MARK), **job))  # type: ignore[arg-type] # the fields of a job, passed on


class SandboxContract:
    """Subclasses give a `sandbox` fixture."""

    has_loopback = True
    counts_alone = True
    variables = ("EXTRA", "HOME", "LANG", "PATH")

    @pytest.fixture
    def chain(self):
        """Return a toolchain folder that every user can enter."""
        with tempfile.TemporaryDirectory(prefix="nightshift-chain-") as name:
            (Path(name) / "bin").mkdir(mode=0o755)
            Path(name).chmod(0o755)
            yield Path(name)

    async def test_returns_output_in_order_and_the_exit_code(self, sandbox):
        result = await sandbox.run(SandboxJob(argv=("sh", "-c", "echo one; echo two >&2; echo three; exit 3")))
        assert (result.exit_code, result.output, result.ended_by) == (3, b"one\ntwo\nthree\n", "")

    async def test_command_that_does_not_exist_is_127(self, sandbox):
        result = await sandbox.run(SandboxJob(argv=("no-such-command",)))
        assert result.exit_code == 127
        assert b"no-such-command" in result.output

    async def test_death_by_signal_is_told_like_a_shell_does(self, sandbox):
        result = await sandbox.run(SandboxJob(argv=("sh", "-c", "kill -9 $$")))
        assert result.exit_code == 137

    async def test_arguments_are_never_read_by_a_shell(self, sandbox):
        result = await sandbox.run(SandboxJob(argv=("printf", "%s|", "$(id)", "a b", ";", "")))
        assert result.output == b"$(id)|a b|;||"

    async def test_tree_is_the_working_folder_and_can_be_written(self, sandbox):
        tree = make_tar(
            src__app__main=b"print('from the tree')",
            link=make_member("link", tarfile.SYMTYPE, "src/app/main"),
            empty=make_member("empty", tarfile.DIRTYPE),
        )
        code = "import os; exec(open('link').read()); open('new', 'w').close(); print(sorted(os.listdir()))"
        result = await python(sandbox, code, tree=tree)
        assert result.output == b"from the tree\n['empty', 'link', 'new', 'src']\n"

    async def test_executable_bit_of_the_tree_is_kept(self, sandbox):
        script = tarfile.TarInfo("run")
        script.mode, script.size = 0o755, 20
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as archive:
            archive.addfile(script, io.BytesIO(b"#!/bin/sh\necho fine\n"))
        result = await sandbox.run(SandboxJob(argv=("./run",), tree=target.getvalue()))
        assert result.output == b"fine\n"

    async def test_each_run_starts_from_nothing(self, sandbox):
        await python(
            sandbox, "open('left', 'w').close(); open(__import__('os').environ['HOME'] + '/left', 'w').close()"
        )
        result = await python(sandbox, "import os; print(os.listdir('.'), os.listdir(os.environ['HOME']))")
        assert result.output == b"[] []\n"

    async def test_files_are_there_and_read_only(self, sandbox):
        result = await sandbox.run(
            SandboxJob(argv=("sh", "-c", 'cat "$0"; echo x >> "$0"', "/nightshift/a.txt"), files={"a.txt": b"given\n"})
        )
        assert result.exit_code != 0
        assert result.output.startswith(b"given\n")

    async def test_toolchain_comes_first_on_the_path_and_is_read_only(self, sandbox, chain):
        tool = chain / "bin" / "ls"
        tool.write_text('#!/bin/sh\necho my own ls\necho x > "${0}x" || echo refused\n')
        tool.chmod(0o755)
        result = await sandbox.run(SandboxJob(argv=("ls",), toolchain=chain))
        assert result.output.startswith(b"my own ls\n")
        assert result.output.endswith(b"refused\n")
        assert not tool.with_name("lsx").exists()

    async def test_a_readable_folder_is_where_it_is_on_the_host_and_stays_as_it_is(self, sandbox, chain):
        (chain / "note").write_text("seen\n")
        (chain / "note").chmod(0o644)
        script = f"cat {chain}/note; (echo x > {chain}/new) 2>/dev/null || echo refused"
        result = await sandbox.run(SandboxJob(argv=("sh", "-c", script), readable=(chain,)))
        assert result.output == b"seen\nrefused\n"
        assert not (chain / "new").exists()

    @pytest.mark.parametrize("folder", ["/", "/etc", "relative", "/no/such/folder", "/tmp/../etc/ssl"])
    async def test_what_is_no_folder_to_show_is_refused(self, sandbox, folder):
        with pytest.raises(Rejected, match="is not a folder that the sandbox can be shown"):
            await sandbox.run(SandboxJob(argv=("true",), readable=(Path(folder),)))

    async def test_environment_is_what_the_port_says(self, sandbox, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_SECRET_TOKEN", "hidden")
        code = "import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE'), os.environ['EXTRA'])"
        result = await python(sandbox, code, env={"EXTRA": "given"})
        assert result.output.decode() == f"{sorted(self.variables)} given\n"

    async def test_python_is_the_running_version_under_both_names(self, sandbox):
        code = "import sys, json, sqlite3, ctypes; print(sys.version_info[:2])"
        for name in ("python", "python3"):
            result = await sandbox.run(SandboxJob(argv=(name, "-c", code)))
            assert result.output.decode().strip() == str(sys.version_info[:2])

    async def test_own_loopback_serves(self, sandbox):
        code = (
            "import threading, http.server, urllib.request as u\n"
            "class H(http.server.BaseHTTPRequestHandler):\n"
            " def do_GET(self): self.send_response(204); self.end_headers()\n"
            " def log_message(self, *a): pass\n"
            "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n"
            "threading.Thread(target=s.serve_forever, daemon=True).start()\n"
            "print(u.urlopen(f'http://127.0.0.1:{s.server_port}/').status)\n"
        )
        result = await python(sandbox, code)
        if self.has_loopback:
            assert result.output == b"204\n"
        else:
            assert result.exit_code == 1
            assert b"Permission" in result.output

    @pytest.mark.parametrize(
        "member",
        [
            make_member("/abs", tarfile.REGTYPE),
            make_member("../up", tarfile.REGTYPE),
            make_member("a/../../up", tarfile.DIRTYPE),
            make_member("null", tarfile.CHRTYPE),
            make_member("disk", tarfile.BLKTYPE),
            make_member("pipe", tarfile.FIFOTYPE),
            make_member("hard", tarfile.LNKTYPE, "/etc/passwd"),
        ],
        ids=lambda member: member.name,
    )
    async def test_hostile_members_are_refused_before_anything_runs(self, sandbox, member):
        with pytest.raises(Rejected):
            await sandbox.run(SandboxJob(argv=("true",), tree=make_tar(first=b"x", second=member)))

    async def test_file_through_a_link_is_refused(self, sandbox):
        tree = make_tar(a=make_member("out", tarfile.SYMTYPE, "/tmp"), out__x=b"through")
        with pytest.raises(Rejected):
            await sandbox.run(SandboxJob(argv=("true",), tree=tree))

    async def test_tree_over_its_limit_is_refused(self, sandbox):
        with pytest.raises(LimitReached):
            await sandbox.run(
                SandboxJob(argv=("true",), tree=make_tar(big=bytes(2 * MIB)), limits=SandboxLimits(tree=MIB))
            )

    async def test_time_limit_ends_everything(self, sandbox):
        code = "import os, time\nif os.fork() == 0: os.setsid()\ntime.sleep(60)\n"
        result = await python(sandbox, code, limits=SandboxLimits(seconds=1))
        assert (result.exit_code, result.ended_by) == (None, "time")
        assert result.seconds < 3
        assert find_marked(MARK) == []

    async def test_output_is_cut_at_its_limit(self, sandbox):
        result = await sandbox.run(SandboxJob(argv=("yes",), limits=SandboxLimits(output=10_000)))
        assert (result.exit_code, result.ended_by, len(result.output)) == (None, "output", 10_000)

    async def test_memory_is_counted_over_all_processes(self, sandbox):
        code = (
            "import os, time\n"
            "for _ in range(8):\n"
            " if os.fork() == 0: keep = b'x' * (48 << 20); time.sleep(60)\n"
            "time.sleep(60)\n"
        )
        result = await python(sandbox, code, limits=SandboxLimits(memory=160 * MIB, seconds=20))
        assert (result.exit_code, result.ended_by) == (None, "memory")
        assert find_marked(MARK) == []

    async def test_processes_are_bounded(self, sandbox):
        code = (
            "import os, time\nn = 0\ntry:\n while n < 200:\n  if os.fork() == 0: time.sleep(60)\n  n += 1\n"
            "except OSError: print('stopped', n < 40)\n"
        )
        result = await python(sandbox, code, limits=SandboxLimits(processes=32, seconds=20))
        assert result.output == b"stopped True\n"
        assert find_marked(MARK) == []

    async def test_background_process_ends_with_the_job(self, sandbox):
        code = (
            "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(60)\nelse: print('done')"
        )
        result = await python(sandbox, code)
        assert result.exit_code == 0
        assert result.seconds < 10
        assert find_marked(MARK) == []

    async def test_cancelling_ends_everything(self, sandbox):
        run = asyncio.create_task(python(sandbox, "import time; time.sleep(60)"))
        while not find_marked(MARK):
            await asyncio.sleep(0.02)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert find_marked(MARK) == []

    async def test_cancelling_at_once_leaves_nothing(self, sandbox):
        before = count_descriptors()
        for delay in (0, 0.001, 0.003, 0.006, 0.01, 0.02):
            run = asyncio.create_task(python(sandbox, "import time; time.sleep(60)"))
            await asyncio.sleep(delay)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        deadline = time.monotonic() + 2
        while find_marked(MARK) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert find_marked(MARK) == []
        assert count_descriptors() <= before + 1

    async def test_runs_side_by_side_do_not_share_their_limits(self, sandbox):
        if not self.counts_alone:
            pytest.skip("Without a namespace or root all jobs of a user count against one process limit.")
        code = "import os, time\nfor _ in range(20):\n if os.fork() == 0: time.sleep(0.4); os._exit(0)\nprint('all')"
        runs = [python(sandbox, code, limits=SandboxLimits(processes=32)) for _ in range(3)]
        assert [result.output for result in await asyncio.gather(*runs)] == [b"all\n"] * 3

    async def test_every_probe_holds(self, sandbox):
        probes = await sandbox.probe()
        assert len(probes) >= 35
        assert [probe for probe in probes if not probe.held] == []
