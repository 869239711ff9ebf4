"""Starts a job under Landlock, and ends all that it started: the supervisor of that rung.

It is handed to `python3 -I -S -c` as text, with its plan as JSON in its one argument. It stays outside the
confinement, becomes the parent of every orphan below it, and leaves only when none of them is alive. SIGTERM, also
sent by the kernel when Nightshift dies, ends the job at once.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Final, NoReturn, TypedDict

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_SET_DEATH_SIGNAL: Final = 1
_SET_DUMPABLE: Final = 4
_SET_SECCOMP: Final = 22
_DROP_CAPABILITY: Final = 24
_SET_SUBREAPER: Final = 36
_SET_NO_NEW_PRIVILEGES: Final = 38
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ALL_FILE_RIGHTS: Final = (1 << 16) - 1
_READ: Final = 0b1101  # execute, read a file, read a folder
_RIGHTS_OF_FILES: Final = 0b1100_0000_0000_0111  # execute, write, read, truncate, device control
_CONTROL_DEVICES: Final = 1 << 15
_REPORT: Final = 3


class Plan(TypedDict):
    """What the host decided. `user` is 0 where the user stays; `filter` is seccomp BPF in hex."""

    parent: int
    report: int
    user: int
    folder: str
    readable: list[str]
    writable: list[str]
    devices: list[str]
    limits: dict[str, int]
    filter: str
    argv: list[str]


class _Stopped(Exception):  # noqa: N818 -- the end of a run, not an error of this program
    may_rise = True


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _must(answer: int, what: str) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"{what} failed")
    return answer


def _prctl(option: int, value: int, pointer: object = None) -> None:
    _must(_LIBC.prctl(option, ctypes.c_ulong(value), pointer, None, None), f"prctl {option}")


def _restrict_files(plan: Plan) -> None:
    """Deny everything that is not named: files, TCP, abstract sockets and signals to the outside."""
    rules = _Ruleset(_ALL_FILE_RIGHTS, 0b11, 0b11)
    ruleset = _must(_LIBC.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0), "Landlock")
    for path in plan["readable"]:
        _allow(ruleset, path, _READ)
    for path in plan["writable"]:
        _allow(ruleset, path, _ALL_FILE_RIGHTS & ~_CONTROL_DEVICES)
    for path in plan["devices"]:
        _allow(ruleset, path, 0b110)
    _must(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "Landlock")


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):  # noqa: PTH112 - importing pathlib would double the start-up time
        rights &= _RIGHTS_OF_FILES
    rule = _PathRule(rights, handle)
    _must(_LIBC.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0), f"Landlock rule for {path}")
    os.close(handle)


def _change_user(user: int) -> None:
    for capability in range(64):
        if _LIBC.prctl(_DROP_CAPABILITY, ctypes.c_ulong(capability), None, None, None) < 0:
            break
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _become_job(plan: Plan) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    os.dup2(plan["report"], _REPORT)
    os.closerange(_REPORT + 1, 65536)
    if plan["user"]:
        _change_user(plan["user"])
    for name, value in plan["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    _prctl(_SET_NO_NEW_PRIVILEGES, 1)
    os.chdir(plan["folder"])
    _restrict_files(plan)
    code = bytes.fromhex(plan["filter"])
    program = _Program(len(code) // 8, code)
    _prctl(_SET_SECCOMP, 2, ctypes.byref(program))
    os.execve(plan["argv"][0], [*plan["argv"], str(_REPORT)], {})  # noqa: S606 - that is its purpose


def _find_descendants() -> list[int]:
    family = [os.getpid()]
    for pid in family:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - as above
                with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123 - as above
                    family += map(int, file.read().split())
        except OSError:
            continue
    return family[1:]


def _end_all() -> None:
    """Kill until nobody is left; every orphan is our child, so none is missed."""
    while True:
        for pid in _find_descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _stop(_number: int, _frame: object) -> None:
    if _Stopped.may_rise:
        raise _Stopped


def _wait_for(child: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _run(plan: Plan) -> int:
    child = os.fork()
    if child == 0:
        try:
            _become_job(plan)
        except OSError as error:
            os.write(2, f"{error}\n".encode())
            os._exit(125)
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2, plan["report"]):
        os.dup2(nothing, descriptor)
    return _wait_for(child)


def main() -> None:
    """Run the plan's job to its end, or until SIGTERM."""
    plan: Plan = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, _stop)
    code = 128 + signal.SIGTERM
    try:
        _prctl(_SET_SUBREAPER, 1)
        _prctl(_SET_DUMPABLE, 0)
        _prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() == plan["parent"]:
            code = _run(plan)
        _Stopped.may_rise = False
    except _Stopped:
        _Stopped.may_rise = False
    _end_all()
    sys.exit(code)


if __name__ == "__main__":
    main()
