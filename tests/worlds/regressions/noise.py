"""Commits that change nothing that a test sees: what a team does all day, in the same files and words as the fault."""

import random
import re
from collections.abc import Callable

_DEF = re.compile(r"^( *)def (\w+)\(.*\):\n( +\"\"\".*\"\"\"\n)?", re.MULTILINE)
_DOC = re.compile(r'^( +"""Return )([^"\n]{10,90})\.(""")$', re.MULTILINE)

Change = tuple[str, dict[str, str | None]]


def _modules(files: dict[str, str]) -> list[str]:
    own = (path for path in files if path.endswith(".py") and not path.startswith(("tests/", "vendor/")))
    return sorted(path for path in own if "def " in files[path])


def _words(path: str, text: str) -> list[str]:
    names = re.findall(r"def (\w+)|^class (\w+)", text, re.MULTILINE)
    stem = path.rsplit("/", 1)[-1].removesuffix(".py")
    return [stem, *(word for pair in names for name in pair for word in name.split("_") if len(word) > 2)]


def add_logging(files: dict[str, str], chance: random.Random) -> Change | None:
    """Log what a function does: touches functions on the stack as any other."""
    path = chance.choice(_modules(files))
    found = [match for match in _DEF.finditer(files[path]) if "log.debug" not in files[path][match.end() :][:60]]
    if not found or "log = " not in files[path]:
        return None
    match = chance.choice(found)
    indent = match.group(1) + "    "
    line = f'{indent}log.debug("{match.group(2).strip("_").replace("_", " ")}")\n'
    text = files[path][: match.end()] + line + files[path][match.end() :]
    return f"Log {match.group(2).strip('_').replace('_', ' ')} of {path.split('/')[-1].removesuffix('.py')}", {
        path: text
    }


def drop_logging(files: dict[str, str], chance: random.Random) -> Change | None:
    paths = [path for path in _modules(files) if "log.debug" in files[path]]
    if not paths:
        return None
    path = chance.choice(paths)
    lines = files[path].splitlines(keepends=True)
    place = chance.choice([number for number, line in enumerate(lines) if "log.debug" in line])
    what = lines[place].split('"')[1]
    return f"Less noise: do not log {what}", {path: "".join(lines[:place] + lines[place + 1 :])}


def add_helper(files: dict[str, str], chance: random.Random) -> Change | None:
    """Add a function that nothing calls yet, in the words of its module; sometimes with its test."""
    path = chance.choice(_modules(files))
    words = _words(path, files[path])
    name = "_".join(dict.fromkeys((chance.choice(("describe", "check", "count", "split", "first", "guess")),
                                   chance.choice(words), chance.choice(words))))  # fmt: skip
    if f"def {name}" in files[path]:
        return None
    body = chance.choice(
        (
            "    found = [each for each in values if each]\n    return found[:limit]\n",
            '    text = " ".join(str(each) for each in values)\n    return text[:limit]\n',
            '    if not values:\n        raise ValueError("nothing")\n    return sorted(values, key=str)[:limit]\n',
            "    total = 0\n    for each in values:\n        total += len(str(each))\n    return min(total, limit)\n",
        )
    )
    label = name.replace("_", " ")
    code = f'\n\ndef {name}(values, limit={chance.randrange(3, 90)}):\n    """Helps to {label}."""\n{body}'
    changes: dict[str, str | None] = {path: files[path].rstrip("\n") + "\n" + code}
    if chance.random() < 0.3:
        module = path.removesuffix(".py").replace("/", ".")
        test = f"tests/test_{name}.py"
        changes[test] = (
            f"import unittest\n\nfrom {module} import {name}\n\n\nclass HelperTest(unittest.TestCase):\n"
            f"    def test_{name}(self):\n        self.assertIsNotNone({name}([1, 2]))\n"
        )
        if test in files:
            return None
    reason = chance.choice(("for the new overview", "as the importer needs it", "to be used by the service", ""))
    return f"Add {name} {reason}".strip(), changes


def reword(files: dict[str, str], chance: random.Random) -> Change | None:
    paths = [path for path in _modules(files) if _DOC.search(files[path])]
    if not paths:
        return None
    path = chance.choice(paths)
    match = chance.choice(list(_DOC.finditer(files[path])))
    text = f"{match.group(1)}{match.group(2)}, as before.{match.group(3)}"
    changed = files[path][: match.start()] + text + files[path][match.end() :]
    return f"Docs: {match.group(2)[:40].strip()}", {path: changed}


def write_notes(files: dict[str, str], chance: random.Random) -> Change | None:
    word = chance.choice(_words(*chance.choice([(path, files[path]) for path in _modules(files)])))
    text = files["README.md"] + f"\n- {word}: see the notes of week {chance.randrange(1, 53)}\n"
    return f"Write down how {word} works", {"README.md": text}


def bump_tool(files: dict[str, str], chance: random.Random) -> Change | None:
    path = "requirements-dev.txt"
    text = "".join(
        f"{name}=={chance.randrange(1, 30)}.{chance.randrange(0, 20)}\n" for name in ("ruff", "mypy", "build")
    )
    if files.get(path) == text:
        return None
    return f"Bump {chance.choice(('ruff', 'mypy', 'build'))}", {path: text}


def extend_tests(files: dict[str, str], chance: random.Random) -> Change | None:
    """Add a test that says the same once more."""
    paths = [path for path in sorted(files) if path.startswith("tests/test_") and "HelperTest" not in files[path]]
    path = chance.choice(paths)
    name = f"test_{chance.choice(('again', 'still', 'twice', 'once'))}_{chance.randrange(1000)}"
    if name in files[path]:
        return None
    text = files[path].rstrip("\n") + f"\n\n    def {name}(self):\n        self.assertTrue(str(self))\n"
    return f"Test {path.split('test_')[-1].removesuffix('.py')} once more", {path: text}


def retype(files: dict[str, str], chance: random.Random) -> Change | None:
    """Reformat: a line of white space between two statements."""
    path = chance.choice(_modules(files))
    lines = files[path].splitlines(keepends=True)
    places = [
        number for number, line in enumerate(lines[1:], 1)
        if line.startswith("    return ") and lines[number - 1].strip() and not lines[number - 1].rstrip().endswith(":")
        and '"""' not in lines[number - 1] and lines[number - 1].startswith("    ")
        and not lines[number - 1].startswith("     ")
    ]  # fmt: skip
    if not places:
        return None
    place = chance.choice(places)
    return f"Format {path.split('/')[-1]}", {path: "".join([*lines[:place], "\n", *lines[place:]])}


_RETURN = re.compile(r"^( +)return (.{6,90})$", re.MULTILINE)
_NAMED = re.compile(r"^( +)(\w+) = (.{6,90})\n\1return \2$", re.MULTILINE)
_SIGNATURE = re.compile(r"^( *)def (\w+)\((.*)\):$", re.MULTILINE)
_LOCAL = re.compile(r"^( +)(\w{3,12}) = ", re.MULTILINE)
_BALANCED = ("()", "[]", "{}")


def name_result(files: dict[str, str], chance: random.Random) -> Change | None:
    """Give what a function returns a name first: the same, on a line that runs."""
    path = chance.choice(_modules(files))
    found = [
        match for match in _RETURN.finditer(files[path])
        if all(match.group(2).count(a) == match.group(2).count(b) for a, b in _BALANCED)
        and match.group(2)[-1] not in "({["
    ]  # fmt: skip
    if not found:
        return None
    match = chance.choice(found)
    name = chance.choice(("result", "answer", "found", "outcome"))
    if re.search(rf"\b{name}\b", match.group(2)):
        return None
    line = f"{match.group(1)}{name} = {match.group(2)}\n{match.group(1)}return {name}"
    text = files[path][: match.start()] + line + files[path][match.end() :]
    return f"Name the {name} in {path.split('/')[-1].removesuffix('.py')}", {path: text}


def inline_result(files: dict[str, str], chance: random.Random) -> Change | None:
    paths = [path for path in _modules(files) if _NAMED.search(files[path])]
    if not paths:
        return None
    path = chance.choice(paths)
    match = chance.choice(list(_NAMED.finditer(files[path])))
    line = f"{match.group(1)}return {match.group(3)}"
    text = files[path][: match.start()] + line + files[path][match.end() :]
    return f"Simplify {path.split('/')[-1].removesuffix('.py')}", {path: text}


def add_guard(files: dict[str, str], chance: random.Random) -> Change | None:
    """Refuse what nobody passes."""
    path = chance.choice(_modules(files))
    found = [match for match in _DEF.finditer(files[path]) if match.group(3)]
    if not found:
        return None
    match = chance.choice(found)
    signature = _SIGNATURE.match(match.group(0).splitlines()[0])
    names = [part.partition("=")[0].strip() for part in signature.group(3).split(",")] if signature else []
    names = [name for name in names if name.isidentifier() and name != "self"]
    if not names:
        return None
    name, indent = chance.choice(names), match.group(1) + "    "
    guard = f'{indent}if {name} is Ellipsis:\n{indent}    raise ValueError("{name} is missing")\n'
    if guard in files[path]:
        return None
    text = files[path][: match.end()] + guard + files[path][match.end() :]
    return f"Refuse {match.group(2).strip('_').replace('_', ' ')} without {name}", {path: text}


def add_option(files: dict[str, str], chance: random.Random) -> Change | None:
    """Let a function do something more that nobody asks for yet."""
    path = chance.choice(_modules(files))
    found = [
        match for match in _DEF.finditer(files[path])
        if match.group(3) and "*" not in match.group(0).splitlines()[0] and not match.group(2).startswith("__")
    ]  # fmt: skip
    if not found:
        return None
    match = chance.choice(found)
    option, indent = chance.choice(("strict", "quiet", "dry_run", "verbose")), match.group(1) + "    "
    first, rest = match.group(0).split("\n", 1)
    if not first.endswith("):"):
        return None
    given = "" if first.endswith("(self):") or not first.endswith("():") else None
    first = first[:-2] + (f", *, {option}=False):" if given == "" else f"*, {option}=False):")
    more = f'{indent}if {option}:\n{indent}    log.warning("{match.group(2)} was asked to be {option}")\n'
    text = files[path][: match.start()] + f"{first}\n{rest}{more}" + files[path][match.end() :]
    return f"Add {option} to {match.group(2).strip('_')}", {path: text}


def rename_local(files: dict[str, str], chance: random.Random) -> Change | None:
    """Give a local variable another name, on all lines of its function."""
    path = chance.choice(_modules(files))
    blocks = re.split(r"(?m)^(?= *def )", files[path])
    place = chance.randrange(len(blocks))
    found = [match.group(2) for match in _LOCAL.finditer(blocks[place]) if "def " in blocks[place]]
    body = blocks[place]
    head = body.splitlines()[0] if body else ""
    usable = [name for name in found if not re.search(rf"\b{name}\b", head) and f".{name}" not in body
              and f"{name}=" not in body and '"' + name not in body]  # fmt: skip
    if not usable:
        return None
    name = chance.choice(usable)
    new = chance.choice(("wanted", "current", "entry", "chosen", "value"))
    if re.search(rf"\b{new}\b", body):
        return None
    blocks[place] = re.sub(rf"\b{name}\b", new, body)
    return f"Call the {name} of {path.split('/')[-1].removesuffix('.py')} {new}", {path: "".join(blocks)}


KINDS: tuple[tuple[int, Callable[[dict[str, str], random.Random], Change | None]], ...] = (
    (14, add_helper),
    (12, add_logging),
    (5, drop_logging),
    (7, reword),
    (5, retype),
    (7, write_notes),
    (5, bump_tool),
    (7, extend_tests),
    (9, name_result),
    (6, inline_result),
    (9, add_guard),
    (10, add_option),
    (8, rename_local),
)


def make_noise(files: dict[str, str], chance: random.Random) -> Change:
    """Return one commit's message and changes."""
    while True:
        (kind,) = chance.choices([kind for _, kind in KINDS], [weight for weight, _ in KINDS])
        change = kind(files, chance)
        if change is not None and all(files.get(path) != text for path, text in change[1].items()):
            return change
