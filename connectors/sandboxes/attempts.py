"""Escape attempts, run inside a sandbox by its probe.

Standard library only; nothing here harms a machine that turns out to be open.

`main` reads facts about the host from its argument and prints one JSON line per attempt: its name and what it
reached, or "" where it was stopped. Each attempt returns what it reached; an `OSError` means it was stopped.
"""

import ctypes
import errno
import json
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypedDict, TypeVar


class Facts(TypedDict):
    """What the attempts aim at: real things that exist on the host while the probe runs."""

    canary: str
    folder: str
    secret_files: list[str]
    tcp: list[tuple[str, int]]
    unix: str
    abstract: str
    pid: int
    pid_namespace: int
    calls: dict[str, int]


Attempt = Callable[[Facts], str]
ATTEMPTS: Final[dict[str, Attempt]] = {}
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_STOPPED: Final = {errno.EPERM, errno.EACCES, errno.ENOSYS}
_SECONDS: Final = 0.5
_Target = TypeVar("_Target")


def _attempt(attempt: Attempt) -> Attempt:
    ATTEMPTS[attempt.__name__.replace("_", " ").strip()] = attempt
    return attempt


def _first(function: Callable[[_Target], str], targets: Iterable[_Target]) -> str:
    """Return what the first attempt that gets through has reached."""
    for target in targets:
        try:
            reached = function(target)
        except OSError:
            continue
        if reached:
            return reached
    return ""


def _connect(target: tuple[int, int, object]) -> str:
    family, kind, address = target
    with socket.socket(family, kind) as sock:
        sock.settimeout(_SECONDS)
        sock.connect(address)  # type: ignore[arg-type] # an address of any family
        return f"connected to {address}"


def _read(path: str) -> str:
    with Path(path).open("rb") as file:
        file.read(16)
    return f"read {path}"


def _open_for_writing(path: str) -> str:
    with Path(path).open("r+b"):
        return f"{path} is writable"


@_attempt
def reach_the_host_over_tcp(facts: Facts) -> str:
    return _first(_connect, [(socket.AF_INET, socket.SOCK_STREAM, tuple(target)) for target in facts["tcp"]])


@_attempt
def reach_the_internet(_facts: Facts) -> str:
    hosts = ((socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_INET6, ("2606:4700:4700::1111", 53)))
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    return _first(_connect, [(family, kind, host) for family, host in hosts for kind in kinds])


@_attempt
def resolve_a_name(_facts: Facts) -> str:
    return f"resolved {socket.getaddrinfo('example.com', 443)[0][4]}"


@_attempt
def connect_to_a_unix_socket(facts: Facts) -> str:
    paths = (facts["unix"], "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/private")
    return _first(_connect, [(socket.AF_UNIX, socket.SOCK_STREAM, path) for path in paths])


@_attempt
def connect_to_an_abstract_socket(facts: Facts) -> str:
    return _connect((socket.AF_UNIX, socket.SOCK_STREAM, "\0" + facts["abstract"]))


@_attempt
def talk_to_the_hypervisor(_facts: Facts) -> str:
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    return "made a vsock socket"


@_attempt
def sniff_packets(_facts: Facts) -> str:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()
    return "made a packet socket"


@_attempt
def use_the_kernels_crypto_sockets(_facts: Facts) -> str:
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()
    return "made an AF_ALG socket"


@_attempt
def read_host_files(facts: Facts) -> str:
    return _first(_read, facts["secret_files"])


@_attempt
def find_the_canary_in_an_environment(facts: Facts) -> str:
    def search(environ: Path) -> str:
        return str(environ) if facts["canary"] in environ.read_text(errors="replace") else ""

    if facts["canary"] in "".join(os.environ.values()):
        return "in its own environment"
    return _first(search, Path("/proc").glob("[0-9]*/environ"))


@_attempt
def read_through_the_root_of_a_process(facts: Facts) -> str:
    roots = (f"/proc/{pid}/root" for pid in (1, facts["pid"], os.getppid(), "self"))
    return _first(_read, [root + facts["secret_files"][0] for root in roots])


@_attempt
def take_over_a_process_without_a_filter(_facts: Facts) -> str:
    """Open the memory of a process that may make every system call, such as the sandbox's own first process."""

    def open_memory(folder: Path) -> str:
        if "Seccomp:\t0" not in (folder / "status").read_text():
            return ""
        return _open_for_writing(str(folder / "mem"))

    return _first(open_memory, Path("/proc").glob("[0-9]*"))


@_attempt
def signal_the_bot(facts: Facts) -> str:
    os.kill(facts["pid"], 0)
    same = Path("/proc/self/ns/pid").stat().st_ino == facts["pid_namespace"]
    return f"may signal process {facts['pid']}" if same else ""


@_attempt
def plant_git_hooks_and_links(facts: Facts) -> str:
    """Write where a careless host would run or follow it. The host looks afterwards: inside, `/tmp` may be our own."""
    hooks = Path(facts["folder"]) / ".git" / "hooks"
    hooks.mkdir(parents=True, exist_ok=True)
    (hooks / "post-checkout").write_text("#!/bin/sh\n")
    (Path(facts["folder"]) / "link").symlink_to("/etc/passwd")
    return ""


@_attempt
def use_inherited_descriptors(_facts: Facts) -> str:
    return _first(lambda entry: f"descriptor {entry} has mode {os.fstat(entry).st_mode:o}", range(3, 256))


@_attempt
def write_to_system_folders(_facts: Facts) -> str:
    def write(folder: str) -> str:
        path = Path(folder) / "nightshift-probe"
        path.write_text("x")
        path.unlink()
        return f"wrote to {folder}"

    return _first(
        write, ("/", "/dev", "/usr/bin", "/etc", "/nightshift", "/opt", sys.base_prefix, f"{sys.base_prefix}/bin")
    )


@_attempt
def change_the_job_files(_facts: Facts) -> str:
    Path(__file__).chmod(0o777)
    return f"changed {__file__}"


@_attempt
def change_the_core_pattern(_facts: Facts) -> str:
    return _open_for_writing("/proc/sys/kernel/core_pattern")


@_attempt
def reach_kernel_controls(_facts: Facts) -> str:
    controls = ("sysrq-trigger", "sys/kernel/modprobe", "sys/vm/drop_caches", "sys/kernel/hostname")
    return _first(_open_for_writing, [*(f"/proc/{name}" for name in controls), "/sys/kernel/uevent_helper"])


@_attempt
def read_kernel_memory(_facts: Facts) -> str:
    return _first(_read, ("/dev/mem", "/dev/kmem", "/dev/kmsg", "/proc/kcore", "/dev/port"))


@_attempt
def make_a_device(_facts: Facts) -> str:
    os.mknod("probe-device", 0o600 | 0o060000, os.makedev(8, 0))
    return "made a block device"


@_attempt
def become_root(_facts: Facts) -> str:
    if os.getuid() == 0:
        return "runs as root"
    os.setuid(0)
    return "became root"


@_attempt
def keep_rights(_facts: Facts) -> str:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    wanted = {"CapEff": 0, "CapPrm": 0, "CapInh": 0, "CapAmb": 0, "NoNewPrivs": 1, "Seccomp": 2}
    wrong = [f"{name} is {status[name]}" for name, value in wanted.items() if int(status[name], 16) != value]
    return ", ".join(wrong)


@_attempt
def raise_a_limit(_facts: Facts) -> str:
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if hard == resource.RLIM_INFINITY:
        return "there is no limit to the size of a file"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard + 1, hard + 1))
    except ValueError:
        return ""
    return "raised the limit to the size of a file"


@_attempt
def type_into_the_terminal(_facts: Facts) -> str:
    return _open_for_writing("/dev/tty")


def _call(name: str, number: int) -> str:
    ctypes.set_errno(0)
    # Arguments that do no harm where the call is open: null pointers, no flags; a new user namespace for unshare.
    first = 0x10000000 if name == "unshare" else 0
    answer = _LIBC.syscall(ctypes.c_long(number), ctypes.c_long(first), *[ctypes.c_long(0)] * 5)
    error = ctypes.get_errno()
    return "" if answer == -1 and error in _STOPPED else f"answered {answer}, errno {error}"


def _try(attempt: Attempt, facts: Facts) -> str:
    try:
        return attempt(facts)
    except OSError:
        return ""


def main() -> None:
    """Try everything, and print a line for each attempt."""
    facts: Facts = json.loads(sys.argv[1])
    for name, attempt in ATTEMPTS.items():
        print(json.dumps([name, _try(attempt, facts)]))  # noqa: T201 - its output is its result
    for name, number in facts["calls"].items():
        print(json.dumps([f"call {name}", _call(name, number)]))  # noqa: T201 - as above


if __name__ == "__main__":
    main()
