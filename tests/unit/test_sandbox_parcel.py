"""What goes into a sandbox: the tree as the launcher will see it, and the job's variables."""

import io
import tarfile

import pytest

from bot.errors import LimitReached, Rejected
from bot.ports.sandbox import SandboxJob, SandboxLimits
from connectors.sandboxes.parcel import build_environment, write_parcel


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object) -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def tar(*members: tuple, **options: object) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", **options) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def pack(tree: bytes, limit: int = 1 << 20) -> list[tuple]:
    """Return the entries as the launcher reads them: kind, path, mode, content."""
    sink = io.BytesIO()
    write_parcel(sink, SandboxJob(argv=("x",), tree=tree, limits=SandboxLimits(tree=limit)), {"A": "b"}, ("x", "y"))
    sink.seek(0)

    def number() -> int:
        return int.from_bytes(sink.read(8), "big")

    def field() -> bytes:
        return sink.read(number())

    assert [field() for _ in range(number())] == [b"x", b"y"]
    assert {field(): field() for _ in range(number())} == {b"A": b"b"}
    entries = []
    while kind := field():
        path, mode = field(), number()
        entries.append((kind, path, mode, field() if kind in {b"F", b"L"} else b""))
    assert sink.read() == b""
    return entries


def test_folders_come_before_what_lies_in_them_even_where_the_archive_has_none():
    assert pack(tar(member("./a/b/c.txt", b"hi"))) == [
        (b"D", b"a", 0o755, b""),
        (b"D", b"a/b", 0o755, b""),
        (b"F", b"a/b/c.txt", 0o644, b"hi"),
    ]


def test_only_the_executable_bit_of_a_mode_is_kept():
    entries = pack(tar(member("run", b"x", mode=0o6777), member("data", b"x", mode=0o666)))
    assert [mode for _, _, mode, _ in entries] == [0o755, 0o644]


def test_links_are_kept_as_they_are_for_they_lead_nowhere_in_there():
    assert pack(tar(member("l", kind=tarfile.SYMTYPE, linkname="/etc/passwd"))) == [(b"L", b"l", 0, b"/etc/passwd")]


def test_headers_that_git_writes_are_no_files():
    assert pack(tar(member("a", b"x"), format=tarfile.PAX_FORMAT, pax_headers={"comment": "0" * 40})) == [
        (b"F", b"a", 0o644, b"x")
    ]


def test_names_need_not_be_unicode():
    assert pack(tar(member("caf\udce9", b"x")))[0][1] == b"caf\xe9"


@pytest.mark.parametrize(
    "members",
    [
        [member("a", b"1"), member("a", b"2")],
        [member("a", b"1"), member("./a", b"2")],
        [member("a", b"1"), member("a/b", b"2")],
        [member("l", kind=tarfile.SYMTYPE, linkname="."), member("l/x", b"2")],
        [member("d", kind=tarfile.DIRTYPE), member("d", b"x")],
        [member("l", kind=tarfile.SYMTYPE, linkname="d"), member("l", kind=tarfile.DIRTYPE)],
        [member("a/../../x", b"1")],
        [member("/x", b"1")],
        [member("h", kind=tarfile.LNKTYPE, linkname="x")],
        [member("f", kind=tarfile.FIFOTYPE)],
    ],
)
def test_hostile_archives_are_refused(members):
    with pytest.raises(Rejected):
        pack(tar(*members))


@pytest.mark.parametrize("cut", [100, 512, 700, 1500])
def test_archive_that_was_cut_is_refused(cut):
    tree = tar(member("a", bytes(1000)), member("b", bytes(1000)))
    with pytest.raises(Rejected):
        pack(tree[:cut])


def test_small_files_count_a_page_each():
    members = [member(str(number), b"x") for number in range(100)]
    with pytest.raises(LimitReached):
        pack(tar(*members), limit=100 * 4096)


def test_toolchain_comes_first_and_given_variables_win(tmp_path):
    job = SandboxJob(argv=("x",), toolchain=tmp_path, env={"LANG": "de_DE.UTF-8", "N": "1"})
    assert build_environment(job, tools="/tools") == {
        "PATH": "/toolchain/bin:/tools:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "de_DE.UTF-8",
        "N": "1",
    }
