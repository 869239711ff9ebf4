"""What is told of an edited file before anything runs: the faults that the edit brings in, and nothing else."""

import pytest

from bot.agent.inspecting import MAX_SHOWN, Fault, Inspection, Linted, refuse_faults, tell_inspection
from bot.worker.linting import list_new
from bot.worker.syntax import find_new_faults, inspect

GOOD = "def rate(code):\n    return TABLE[code]\n"


def lines_of(path, after, before=""):
    found = find_new_faults(path, before.encode() if before is not None else None, after.encode())
    return None if found is None else [fault.line for fault in found]


@pytest.mark.parametrize(
    ("path", "after", "line"),
    [
        ("a.py", "def rate(code):\n    return (TABLE[code]\n", 2),
        ("a.py", "x = 1\ny = 5 5\n", 2),
        ("a.py", "def rate(code):\nreturn 1\n", 2),
        ("a.py", "def rate(code):\n    x = 1\n   y = 2\n", 3),
        ("a.py", "def rate(code):\n\ndef other():\n    pass\n", 3),
        ("a.js", "const a = 1;\nconst b = ;\n", 2),
        ("a.ts", "const a: number = ;\n", 1),
        ("a.go", "package a\n\nfunc b() { c := }\n", 3),
        ("a.java", "class A {\n  int b( { }\n}\n", 2),
        ("a.rs", "fn a() {\n    let b = ;\n}\n", 2),
        ("a.php", "<?php\n$a = ;\n", 2),
        ("a.json", '{\n  "a": 1,\n}\n', 3),
        ("a.toml", "a = 1\nb = = 2\n", 2),
        ("a.yaml", "a: 1\nb: [1, 2\nc: 3\n", 3),
        ("a.yml", "a:\n  - b\n c: 1\n", 3),
    ],
)
def test_what_does_not_parse_is_named_by_its_line(path, after, line):
    found = lines_of(path, after)
    assert found
    assert line in found


@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("a.py", GOOD),
        ("a.py", "match x:\n    case {'a': 1}:\n        pass\n"),
        ("a.py", "def f[T](x: T) -> T:\n    return x\n"),
        ("a.py", 'print("\\d")\n'),
        ("a.tsx", "const a = <b c={1}>d</b>;\n"),
        ("a.rb", "def a\n  1\nend\n"),
        ("a.cs", "class A { int B => 1; }\n"),
        ("a.json", '{"a": [1, 2]}'),
        ("a.toml", "[a]\nb = 1\n"),
        ("a.yaml", "a: &x [1]\nb: *x\n---\nc: !Ref d\n"),
    ],
)
def test_what_parses_has_no_fault(path, after):
    assert lines_of(path, after) == []


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a.erb", "", "<% if %>"),
        ("README.md", "", "# ("),
        ("chart/templates/a.yaml", "a: 1\n", "a: {{ .Values.b }}\n{{- end }}\n"),
        ("tsconfig.json", "// why\n{}\n", '// why\n{"a": 1}\n'),
        ("a.py", "", "x = (\n" + "1\n" * 300_000),
    ],
)
def test_what_nobody_can_parse_is_no_fault(path, before, after):
    assert lines_of(path, after, before) is None


def test_what_did_not_parse_before_is_not_told_again_wherever_it_stands_now():
    before = "x = 5 5\n\n" + GOOD
    assert lines_of("a.py", "import os\n" + before, before) == []
    assert lines_of("a.py", before + "y = 6 6\n", before) == [5]


@pytest.mark.parametrize("path", ["a.py", "a.js", "a.json", "a.toml", "a.yaml", "a.go", "a.rs"])
@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"(" * 20_000, b"[" * 20_000, b'{"a":' * 20_000, b"\n" * 50_000])
def test_hostile_sources_end_in_an_answer(path, text):
    found = find_new_faults(path, None, text)
    assert found is None or len(found) <= 50


def test_several_files_are_inspected_at_once():
    seen = inspect({"b.py": (b"", b"x = (\n"), "a.py": (None, GOOD.encode()), "c.erb": (b"", b"x")})
    assert [fault.path for fault in seen.faults] == ["b.py"]
    assert seen.unparsed == ("c.erb",)


def test_the_model_reads_where_it_fails_with_the_code():
    fault = Fault(path="a.py", line=3, code="    return (", why="')' is missing")
    told = str(refuse_faults([fault] * (MAX_SHOWN + 2)))
    assert "a.py:3: ')' is missing: return (" in told
    assert "… and 2 more" in told
    assert "no repair is used up" in told


def test_of_what_is_clean_nothing_is_said():
    assert tell_inspection(Inspection(), Linted()) == ""
    told = tell_inspection(Inspection(unparsed=("a.erb",)), Linted(findings=("a.py:1: F401",), note="lint was slow"))
    assert "want of a grammar: a.erb" in told
    assert "New with this patch, by the linter:\na.py:1: F401" in told
    assert "The linter: lint was slow." in told


def test_a_linter_is_quoted_only_on_what_is_new():
    before = "a.py:3:1: F401 os is unused\na.py:9:1: E501 too long\nFound 2 errors.\n"
    after = "a.py:4:1: F401 os is unused\na.py:10:1: E501 too long\na.py:11:1: E501 too long\nFound 3 errors.\n"
    assert list_new(before, after) == ["a.py:11:1: E501 too long"]
    assert list_new(before, before) == []


def test_a_count_that_becomes_a_plural_is_no_finding():
    before = "a.py:3:1: F401 os is unused\nFound 1 error.\n[*] 1 fixable with `--fix`.\n"
    after = before.replace("1 error", "2 errors") + "a.py:9:1: F401 sys is unused\n"
    assert list_new(before, after) == ["a.py:9:1: F401 sys is unused"]
    assert list_new(after, before) == []


def test_a_finding_below_its_files_name_is_told_with_it():
    before = "/w/a.js\n  1:5  error  x is unused  no-unused-vars\n"
    after = before + "/w/b.js\n  7:1  error  x is unused  no-unused-vars\n\n1 problem\n"
    assert list_new(before, after) == ["/w/b.js", "/w/b.js:7:1  error  x is unused  no-unused-vars", "1 problem"]
