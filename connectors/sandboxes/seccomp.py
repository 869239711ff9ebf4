"""A seccomp filter as raw BPF bytes: the calls that repository code has no business making.

The filter is a deny list, because test suites of any language must run under it: what it denies are the calls
that reach kernel surface (namespaces, mounts, tracing, keys, BPF, io_uring, modules), other processes, or memory
that no limit counts. Numbers: the kernel's `asm/unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64).
"""

import errno
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.errors import Reason, Unavailable

_LOAD_WORD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER: Final = 0x25
_JUMP_GREATER_EQUAL: Final = 0x35
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_DENY: Final = 0x00050000
_KILL_PROCESS: Final = 0x80000000
_NUMBER_AT: Final = 0
_ARCH_AT: Final = 4
_ARGUMENTS_AT: Final = 16
_X32_BIT: Final = 0x40000000
_X86_64: Final = 0xC000003E

# New mount, cgroup, UTS, IPC, user, PID and network namespaces.
_NEW_NAMESPACES: Final = 0x7E020000
# TIOCSTI types into the terminal that started us, TIOCLINUX pastes into a console.
_TERMINAL_TRICKS: Final = (0x5412, 0x541C)
# Unix, IPv4, IPv6 and route netlink; never vsock (no namespace holds it), raw packets or the kernel's crypto.
_FAMILIES: Final = (1, 2, 10, 16)
# Shared memory that is not attached belongs to no process, so no watchdog sees it: small segments only.
_SEGMENT_BYTES: Final = 65536

# name: (x86_64, aarch64); None = the architecture has no such call.
_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "remap_file_pages": (216, 234),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "acct": (163, 89),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    "ustat": (136, None),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
}

# Without namespaces and mounts of its own a job shares these with the user it runs as: Landlock does not judge
# changes of mode, owner, times and attributes by path, nor System V and POSIX queues, nor others' priorities.
_DENIED_IN_SHARED_VIEW: Final[dict[str, tuple[int | None, int | None]]] = {
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}


@dataclass(frozen=True, kw_only=True)
class _Machine:
    audit_arch: int
    column: int
    clone: int
    clone3: int
    ioctl: int
    socket: int
    shmget: int
    personality: int
    prlimit: int
    utimensat: int
    scheduling: tuple[int, ...]


_MACHINES: Final = {
    "x86_64": _Machine(
        audit_arch=_X86_64,
        column=0,
        clone=56,
        clone3=435,
        ioctl=16,
        socket=41,
        shmget=29,
        personality=135,
        prlimit=302,
        utimensat=280,
        scheduling=(142, 144, 203, 314),
    ),
    "aarch64": _Machine(
        audit_arch=0xC00000B7,
        column=1,
        clone=220,
        clone3=435,
        ioctl=29,
        socket=198,
        shmget=194,
        personality=92,
        prlimit=261,
        utimensat=88,
        scheduling=(118, 119, 122, 274),
    ),
}


def _op(code: int, value: int, hit: int = 0, miss: int = 0) -> bytes:
    return struct.pack("=HBBI", code, hit, miss, value)


def _deny(error: int) -> bytes:
    return _op(_RETURN, _DENY | error)


def _argument(index: int, *, high: bool = False) -> bytes:
    """Load half of an argument; both supported machines are little-endian."""
    return _op(_LOAD_WORD, _ARGUMENTS_AT + 8 * index + (4 if high else 0))


def _when(number: int, body: Sequence[bytes]) -> bytes:
    """Run `body`, which must end in a return, for one call; the call number stays loaded otherwise."""
    return _op(_JUMP_EQUAL, number, 0, len(body)) + b"".join(body)


def _deny_values(argument: int, values: Sequence[int]) -> list[bytes]:
    """Deny the call when the argument equals one of `values`."""
    body = [_argument(argument)]
    for value in values:
        body += [_op(_JUMP_EQUAL, value, 0, 1), _deny(errno.EPERM)]
    return [*body, _op(_RETURN, _ALLOW)]


def _allow_values(argument: int, values: Sequence[int], error: int) -> list[bytes]:
    """Deny the call unless the argument equals one of `values`."""
    body = [_argument(argument)]
    for value in values:
        body += [_op(_JUMP_EQUAL, value, 0, 1), _op(_RETURN, _ALLOW)]
    return [*body, _deny(error)]


def _deny_all(calls: Mapping[str, tuple[int | None, int | None]], numbers: _Machine) -> list[bytes]:
    denied = [pair[numbers.column] for pair in calls.values()]
    return [_when(number, [_deny(errno.EPERM)]) for number in denied if number is not None]


def _deny_shared_view(numbers: _Machine) -> list[bytes]:
    # A process may still change itself, and the times of a file it has open (no path: the pointer is null).
    own = [_when(number, _allow_values(0, (0,), errno.EPERM)) for number in (numbers.prlimit, *numbers.scheduling)]
    own.append(
        _when(
            numbers.utimensat,
            [
                _argument(1),
                _op(_JUMP_EQUAL, 0, 0, 3),
                _argument(1, high=True),
                _op(_JUMP_EQUAL, 0, 0, 1),
                _op(_RETURN, _ALLOW),
                _deny(errno.EPERM),
            ],
        )
    )
    return [*_deny_all(_DENIED_IN_SHARED_VIEW, numbers), *own]


def call_numbers() -> dict[str, int]:
    """Return the numbers of the calls denied on this machine, whatever their arguments."""
    numbers = _this_machine("")
    denied = {name: pair[numbers.column] for name, pair in _DENIED.items()}
    return {name: number for name, number in denied.items() if number is not None} | {"clone3": numbers.clone3}


def _this_machine(machine: str) -> _Machine:
    name = machine or platform.machine()
    if name not in _MACHINES:
        raise Unavailable(f"There is no seccomp filter for {name} machines.", Reason.UNSAFE)
    return _MACHINES[name]


def build_filter(*, isolated: bool = True, machine: str = "") -> bytes:
    """Return the filter for this machine as BPF bytes.

    `isolated` says that the job has its own network and processes; otherwise no socket can be made at all,
    and no limit of another process can be set.

    Raises `Unavailable` on a machine whose calls we have no numbers for.
    """
    numbers = _this_machine(machine)
    parts = [
        _op(_LOAD_WORD, _ARCH_AT),
        _op(_JUMP_EQUAL, numbers.audit_arch, 1, 0),
        _op(_RETURN, _KILL_PROCESS),
        _op(_LOAD_WORD, _NUMBER_AT),
    ]
    if numbers.audit_arch == _X86_64:
        parts += [_op(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1), _deny(errno.ENOSYS)]
    parts += _deny_all(_DENIED, numbers)
    if not isolated:
        parts += _deny_shared_view(numbers)
    families = _FAMILIES if isolated else ()
    parts += [
        # C libraries fall back to clone, whose flags can be read here; clone3 hides them behind a pointer.
        _when(numbers.clone3, [_deny(errno.ENOSYS)]),
        _when(
            numbers.clone,
            [_argument(0), _op(_JUMP_ANY_BIT, _NEW_NAMESPACES, 0, 1), _deny(errno.EPERM), _op(_RETURN, _ALLOW)],
        ),
        _when(numbers.ioctl, _deny_values(1, _TERMINAL_TRICKS)),
        _when(numbers.socket, _allow_values(0, families, errno.EAFNOSUPPORT if isolated else errno.EACCES)),
        _when(numbers.personality, _allow_values(0, (0, 0xFFFFFFFF), errno.EPERM)),
        _when(
            numbers.shmget,
            [
                _argument(1, high=True),
                _op(_JUMP_EQUAL, 0, 1, 0),
                _deny(errno.EPERM),
                _argument(1),
                _op(_JUMP_GREATER, _SEGMENT_BYTES, 0, 1),
                _deny(errno.EPERM),
                _op(_RETURN, _ALLOW),
            ],
        ),
        _op(_RETURN, _ALLOW),
    ]
    return b"".join(parts)
