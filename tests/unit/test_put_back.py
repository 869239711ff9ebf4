"""Single settings and pins that go back to what they were, while all else in their file stays."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.entries.entry import Unreadable
from bot.domain.entries.put_back import can_read, find_changed, find_version, is_pin, name_key, put_back, read_entries
from bot.domain.text.file_names import is_lock_file

TOML = """# The shop
name = "shop"  # as people know it

[http]
timeout = 30 # seconds
retries = 3
hosts = [
  "a",  # first
  "b",
]

[[workers]]
queue = "mail"
size = 4

[[workers]]
queue = "web"
size = 2
"""
YAML = """# limits
http:
  timeout: 30  # seconds
  hosts:
  - a
  - b
  url: "http://x/#y"
workers:
  - name: mail
    size: 4
  - name: web
    size: 2
note: |
  one
  two: three
flags: {fast: true, safe: false}
"""
JSON = """{
  "http": {"timeout": 30, "retries": 3},
  "rates": [7, 19],
  "name": "shop"
}
"""
INI = """[http]
; how long
timeout = 30
hosts =
    a
    b
[mail]
timeout: 5
"""
ENV = """# here
export TIMEOUT=30
URL=http://x/#y
LONG=a \\
  b
"""
REQUIREMENTS = """# pinned
Flask==2.1  # web
textkit[fast]==1.4 ; python_version > "3.8"
hashed==1.0 \\
    --hash=sha256:aaa \\
    --hash=sha256:bbb
    # via flask
-r more.txt
"""
GO = """module example.org/shop

go 1.21

require github.com/a/b v1.2.3

require (
\tgithub.com/c/d v0.4.0 // indirect
)
"""
POM = """<project>
  <properties><kit.version>1.4</kit.version></properties>
  <!-- <kit.version>0.1</kit.version> -->
  <dependencies>
    <dependency>
      <groupId>org.x</groupId>
      <artifactId>kit</artifactId>
      <version>2.0</version>
    </dependency>
  </dependencies>
</project>
"""
PYPROJECT = """[project]
name = "shop"
dependencies = [
  "Flask>=2",  # web
  "textkit==1.4",
]
[tool.poetry.dependencies]
kit = { version = "1.2", extras = ["x"] }
"""
CASES = [
    ("app.toml", TOML, "timeout = 30", "timeout = 3", "http.timeout"),
    ("app.toml", TOML, '"a",  # first\n  "b",', '"a", "c",', "http.hosts"),
    ("app.toml", TOML, "size = 2", "size = 200", "workers[1].size"),
    ("app.yaml", YAML, "timeout: 30", "timeout: 3", "http.timeout"),
    ("app.yaml", YAML, "  - b", "  - c", "http.hosts[1]"),
    ("app.yml", YAML, "size: 2", "size: 200", "workers[1].size"),
    ("app.yml", YAML, "  two: three", "  four", "note"),
    ("app.yml", YAML, "http://x/#y", "http://z/#y", "http.url"),
    ("app.yml", YAML, "safe: false", "safe: true", "flags"),
    ("app.json", JSON, '"timeout": 30', '"timeout": 3', "http.timeout"),
    ("app.json", JSON, "[7, 19]", "[5, 19]", "rates"),
    ("app.ini", INI, "timeout = 30", "timeout = 3", "http.timeout"),
    ("app.ini", INI, "    b", "    c", "http.hosts"),
    (".env", ENV, "TIMEOUT=30", "TIMEOUT=3", "TIMEOUT"),
    ("app.properties", ENV, "  b", "  c", "LONG"),
    ("requirements.txt", REQUIREMENTS, "==1.4", "==1.5", "textkit"),
    ("requirements/base.in", REQUIREMENTS, "==2.1", "==3.0", "flask"),
    (
        "constraints.txt",
        REQUIREMENTS,
        "==1.0 \\\n    --hash=sha256:aaa \\\n    --hash=sha256:bbb",
        "==2.0 --hash=sha256:ccc",
        "hashed",
    ),
    ("go.mod", GO, "v1.2.3", "v1.3.0", "require.github.com/a/b"),
    ("go.mod", GO, "v0.4.0", "v0.5.0", "require.github.com/c/d"),
    ("Gemfile", 'gem "rails", "~> 6.1" # web\ngem "pg"\n', "~> 6.1", "~> 7.0", "rails"),
    ("pom.xml", POM, "<version>2.0", "<version>2.1", "org.x:kit"),
    ("pom.xml", POM, "<kit.version>1.4", "<kit.version>1.5", "kit.version"),
    ("pyproject.toml", PYPROJECT, "textkit==1.4", "textkit==1.5", "project.dependencies.textkit"),
    ("pyproject.toml", PYPROJECT, 'version = "1.2"', 'version = "2.0"', "tool.poetry.dependencies.kit"),
]


UNREADABLE = [
    ("app.json", "[1, 2]"),
    ("app.json", '{"a": 1, // why\n"b": 2}'),
    ("app.json", '{"a": 1, "a": 2}'),
    ("app.json", '{"a": ' * 5_000),
    ("app.toml", "a = [1, 2\n"),
    ("app.toml", "a = 'x\n"),
    ("app.toml", "what is this"),
    ("app.yaml", "a: one\n  two\n"),
    ("app.yaml", "a: &x 1\nb: *x\n"),
    ("app.yaml", "a: [1,\n 2]\n"),
    ("app.yaml", "a: 'x\n"),
    ("app.yaml", "\ta: 1\n"),
    ("app.yaml", "just text\n"),
    ("app.toml", "a = 1\n" * 2),
    ("app.ini", "x" * 600_000),
    ("main.py", "a = 1\n"),
]
HOSTILE = [
    "a ",
    " ",
    "a: ",
    "- ",
    "[",
    "{",
    '"',
    "<!--",
    "a=[",
    "a\n",
    "a=1\\\n",
    "- a:\n",
    "<dependency>",
    "a[ ",
    "x 1 ",
]


@pytest.mark.parametrize(("path", "before", "old", "new", "key"), CASES)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_the_guilty_entry_goes_back_and_later_changes_stay(path, before, old, new, key, end):
    assert before.count(old) == 1
    before, old, new = (text.replace("\n", end) for text in (before, old, new))
    after = before.replace(old, new)
    line = "# later" if not path.endswith((".json", ".xml")) else ""
    head = f"{after}{line}{end}"
    changed = find_changed(path, before, after, head)
    assert [name_key(each) for each in changed] == [key]
    assert put_back(path, before, head, changed) == f"{before}{line}{end}"


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("app.toml", TOML, "retries = 3\n"),
        ("app.yaml", YAML, "    size: 4\n"),
        ("app.ini", INI, "timeout = 30\n"),
        (".env", ENV, "URL=http://x/#y\n"),
        ("requirements.txt", REQUIREMENTS, "Flask==2.1  # web\n"),
        ("app.json", JSON, '  "rates": [7, 19],\n'),
        ("app.json", JSON, ',\n  "name": "shop"'),
        ("app.json", JSON, ', "retries": 3'),
    ],
)
def test_what_was_added_goes_and_what_was_removed_comes_again(path, text, line):
    without = text.replace(line, "")
    added = find_changed(path, without, text, text)
    assert put_back(path, without, text, added) == without
    removed = find_changed(path, text, without, without)
    assert len(added) == len(removed) == 1
    if line not in {"timeout = 30\n", "Flask==2.1  # web\n", '  "rates": [7, 19],\n'}:  # those stand behind nothing
        assert put_back(path, text, without, removed) == text
    else:
        with pytest.raises(Unreadable):
            put_back(path, text, without, removed)


def test_what_was_changed_again_since_is_let_be():
    assert find_changed("app.toml", "a = 1\nb = 1\n", "a = 2\nb = 2\n", "a = 3\nb = 2\n") == (("b",),)
    assert find_changed("app.toml", "a = 1\n", "", "a = 2\n") == ()


@pytest.mark.parametrize(("path", "text"), UNREADABLE)
def test_what_cannot_be_told_apart_is_let_be(path, text):
    with pytest.raises(Unreadable):
        read_entries(path, text)


@pytest.mark.parametrize(
    "path", ["a.json", "a.toml", "a.yaml", "a.ini", ".env", "requirements.txt", "go.mod", "pom.xml"]
)
@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_files_take_no_time(path, piece):
    text = (piece * 200_000)[:120_000]
    began = time.process_time()
    for tried in (text, "a " + text, "{" + text):
        find_changed(path, tried, tried + "b", tried + "b")
    assert time.process_time() - began < 3


@given(st.sampled_from([case[:2] for case in CASES]), st.data())
def test_no_text_is_ever_written_that_reads_otherwise(case, data):
    path, text = case
    place = data.draw(st.integers(0, len(text)))
    after = text[:place] + data.draw(st.text(alphabet="a1:=[]{}\"'#,\n -", max_size=6)) + text[place:]
    for key in find_changed(path, text, after, after):
        try:
            written = put_back(path, text, after, [key])
        except Unreadable:
            continue
        old, new, now = (read_entries(path, each) for each in (text, after, written))
        assert {name: each.value for name, each in now.items() if name != key} == {
            name: each.value for name, each in new.items() if name != key
        }
        assert (key in now) == (key in old)
        assert key not in now or now[key].value == old[key].value


def test_pins_are_told_from_settings_and_from_locks():
    assert is_pin("requirements/dev.txt", ("flask",))
    assert is_pin("web/package.json", ("devDependencies", "vite"))
    assert not is_pin("web/package.json", ("scripts", "build"))
    assert is_pin("Cargo.toml", ("dependencies", "serde"))
    assert is_pin("pyproject.toml", ("tool", "poetry", "group", "dev", "dependencies", "x"))
    assert not is_pin("pyproject.toml", ("tool", "ruff", "line-length"))
    assert not is_pin("app.toml", ("http", "timeout"))
    assert is_lock_file("web/package-lock.json")
    assert not can_read("web/package-lock.json")
    assert can_read("config/.env.production")
    assert not can_read("main.go")


@pytest.mark.parametrize(
    ("value", "version"),
    [("textkit==1.4", "1.4"), ("v1.2.3-rc1", "v1.2.3-rc1"), ('"^4.17.1"', "4.17.1"), (">=1.0,<2.0", ""), ('"*"', "")],
)
def test_a_pin_says_its_version(value, version):
    assert find_version(value) == version
