"""The filter, read by a small interpreter of the BPF that the kernel accepts for seccomp."""

import ctypes
import struct

import pytest

from bot.errors import Unavailable
from connectors.sandboxes import seccomp
from connectors.sandboxes.seccomp import build_filter

ALLOW = "allow"
KILL = "kill"
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def judge(program: bytes, number: int, *arguments: int, arch: int) -> str | int:
    """Return "allow", "kill", or the error number that the call gets."""
    values = [argument & 0xFFFFFFFFFFFFFFFF for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("=iIQ6Q", ctypes.c_int32(number).value, arch, 0, *values)
    lines = list(struct.iter_unpack("=HBBI", program))
    loaded, at = 0, 0
    while True:
        code, hit, miss, value = lines[at]
        at += 1
        if code == 0x20:
            loaded = struct.unpack_from("=I", data, value)[0]
        elif code == 0x06:
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(value, value & 0xFFFF)
        else:
            tests = {0x15: loaded == value, 0x25: loaded > value, 0x35: loaded >= value, 0x45: bool(loaded & value)}
            at += hit if tests[code] else miss


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request):
    return request.param


@pytest.fixture
def ask(machine):
    program = build_filter(machine=machine)
    return lambda number, *arguments: judge(program, number, *arguments, arch=MACHINES[machine])


def numbers_of(machine: str, table: dict) -> dict[str, int]:
    column = ("x86_64", "aarch64").index(machine)
    return {name: pair[column] for name, pair in table.items() if pair[column] is not None}


def test_every_denied_call_is_answered_with_eperm(machine, ask):
    numbers = numbers_of(machine, seccomp._DENIED)
    assert {name: ask(number) for name, number in numbers.items()} == dict.fromkeys(numbers, 1)


def test_ordinary_calls_are_allowed(machine, ask):
    ordinary = {"x86_64": (0, 1, 2, 9, 57, 59, 90, 202, 257), "aarch64": (56, 63, 64, 93, 98, 221, 222)}[machine]
    assert {ask(number) for number in ordinary} == {ALLOW}


def test_program_for_another_architecture_is_killed(machine):
    other = next(arch for name, arch in MACHINES.items() if name != machine)
    assert judge(build_filter(machine=machine), 0, arch=other) == KILL


def test_second_call_table_of_x86_is_closed():
    assert judge(build_filter(machine="x86_64"), 0x40000000 | 101, arch=MACHINES["x86_64"]) == 38


def test_threads_and_children_may_be_made_but_no_namespace(machine, ask):
    clone = seccomp._MACHINES[machine].clone
    assert ask(clone, 0x003D0F00) == ALLOW
    assert ask(clone, 0x01200011) == ALLOW
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert ask(clone, flag | 17) == 1
    assert ask(435, 0) == 38


def test_sockets_are_of_families_that_a_namespace_holds(machine, ask):
    socket = seccomp._MACHINES[machine].socket
    assert [ask(socket, family) for family in (1, 2, 10, 16)] == [ALLOW] * 4
    assert [ask(socket, family) for family in (17, 38, 40, 0, 44)] == [97] * 5


def test_typing_into_a_terminal_is_refused(machine, ask):
    ioctl = seccomp._MACHINES[machine].ioctl
    assert ask(ioctl, 0, 0x5401) == ALLOW
    assert ask(ioctl, 0, 0x5412) == 1
    assert ask(ioctl, 0, 0xFF00000000 | 0x5412) == 1
    assert ask(ioctl, 0, 0x541C) == 1


def test_shared_memory_segments_stay_small(machine, ask):
    shmget = seccomp._MACHINES[machine].shmget
    assert ask(shmget, 0, 65536) == ALLOW
    assert ask(shmget, 0, 65537) == 1
    assert ask(shmget, 0, 1 << 32) == 1


def test_shared_view_has_no_sockets_no_changes_by_path_and_no_reach_to_others(machine):
    program, numbers = build_filter(isolated=False, machine=machine), seccomp._MACHINES[machine]

    def ask(number: int, *arguments: int) -> str | int:
        return judge(program, number, *arguments, arch=MACHINES[machine])

    denied = numbers_of(machine, seccomp._DENIED | seccomp._DENIED_IN_SHARED_VIEW)
    assert {ask(number) for number in denied.values()} == {1}
    assert {ask(numbers.socket, family) for family in range(50)} == {13}
    assert (ask(numbers.prlimit, 0), ask(numbers.prlimit, 4711)) == (ALLOW, 1)
    assert (ask(numbers.utimensat, 3, 0), ask(numbers.utimensat, -100, 0x7F00)) == (ALLOW, 1)
    assert ask(numbers.utimensat, -100, 0x7F00 << 32) == 1
    assert {ask(number, 4711) for number in numbers.scheduling} == {1}


def test_filter_fits_the_kernels_limit(machine):
    assert len(build_filter(isolated=False, machine=machine)) // 8 <= 4096


def test_unknown_machine_is_unavailable():
    with pytest.raises(Unavailable, match="riscv64"):
        build_filter(machine="riscv64")
