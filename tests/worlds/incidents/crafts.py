"""What the scripted engineer can mend. Each craft goes by what it has read: an error, a diff, a line of code."""

import re
from collections.abc import Generator, Sequence

from tests.worlds.incidents.engineer import Call, Case, Craft, find_culprit, propose, rewrite, search, write_edit

Words = Generator[Call, str, str | None]


def conclude(case: Case, verdict: str, cause: str) -> str:
    """Return the last words: the cause, the commit, and what the sandbox said."""
    held = "The patch is verified." if re.search(r"^VERIFIED", verdict, re.M) else "The patch is not verified."
    origin = f"Commit {case.commit} brought it." if case.commit else "Which commit brought it is not known."
    return f"{cause} {origin} {held}"


def indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def find_above(lines: Sequence[str], number: int, pattern: str) -> int:
    """Return the number of the nearest line above that begins a block around a line."""
    depth = indent_of(lines[number - 1])
    for above in range(number - 1, 0, -1):
        text = lines[above - 1]
        if text.strip() and indent_of(text) < depth:
            if re.search(pattern, text):
                return above
            depth = indent_of(text)
    raise AssertionError(f"nothing around line {number} matches {pattern}")


def find_new_name(case: Case, old: str) -> str:
    """Return what a word became in the commit that was shown."""
    for removed in case.removed:
        if not re.search(rf"\b{old}\b", removed):
            continue
        pattern = re.sub(rf"\b{old}\b", r"(\\w+)", re.escape(removed))
        for added in case.added:
            found = re.fullmatch(pattern, added)
            if found:
                return found[1]
    return ""


def follow_rename(case: Case) -> Words:
    missing = re.search(r"has no attribute '(\w+)'", case.symptom)
    new = find_new_name(case, missing[1]) if missing else ""
    if not missing or not new:
        return None
    old = missing[1]
    sites = yield from search(rf"\.{old}\b")
    edits = yield from rewrite(case, sites, lambda line: re.sub(rf"\.{old}\b", f".{new}", line))
    verdict = yield from propose(f"Read {new} where {old} was left", edits)
    where = ", ".join(f"{site.path}:{site.line}" for site in sites)
    return conclude(case, verdict, f"{where} still reads {old}, which is called {new} now.")


def keep_whole_numbers(case: Case) -> Words:
    divided = r"int\((.+?) \* \((\w+) / (\d+)\)\)"
    if not re.search(r"AssertionError: \d+ != \d+", case.symptom) or not re.search(divided, "\n".join(case.added)):
        return None
    sites = yield from search(divided)
    edits = yield from rewrite(case, sites, lambda line: re.sub(divided, r"\1 * \2 // \3", line))
    verdict = yield from propose("Divide whole numbers, so that no cent is lost", edits)
    return conclude(case, verdict, f"{sites[0].path}:{sites[0].line} cuts off what a float is too small by.")


def look_up_by_key(case: Case) -> Words:
    scan = re.compile(r'next\((\w+) for \1 in (\w+) if \1\["(\w+)"\] == ([^)]+)\)')
    added = next((scan.search(line) for line in case.added if scan.search(line)), None)
    if "slow" not in case.task or added is None:
        return None
    sites = yield from search(re.escape(added[0]))
    lines = yield from case.read(sites[0].path)
    number = sites[0].line
    loop = find_above(lines, number, r"^\s*for ")
    _, rows, key, value = added.groups()
    margin = " " * indent_of(lines[loop - 1])
    changed = {
        loop: f'{margin}by_{key} = {{row["{key}"]: row for row in {rows}}}\n{lines[loop - 1]}',
        number: scan.sub(lambda _: f"by_{key}[{value}]", lines[number - 1]),
    }
    verdict = yield from propose(f"Look rows up by {key}", [write_edit(sites[0].path, lines, changed)])
    return conclude(case, verdict, f"{sites[0].path}:{number} goes through all of {rows} for each row.")


def write_plain_number(case: Case) -> Words:
    bad = re.search(r"invalid literal for int\(\) with base 10: '((\d+)[^']*)'", case.symptom)
    if not bad or bad[1] not in "\n".join(case.added):
        return None
    sites = yield from search(rf"= {re.escape(bad[1])}$")
    edits = yield from rewrite(case, sites, lambda line: line.replace(bad[1], bad[2]))
    verdict = yield from propose(f"Write {bad[2]} without a unit", edits)
    return conclude(case, verdict, f"{sites[0].path}:{sites[0].line} says {bad[1]}, and a whole number is read there.")


def follow_changelog(case: Case) -> Words:
    refused = re.search(r"(\w+)\(\) got an unexpected keyword argument '(\w+)'", case.symptom)
    if not refused:
        return None
    function, old = refused.groups()
    sites = yield from search(rf"\b{old}=")
    told = next((re.search(rf"`{old}=` is now `(\w+)=`", site.text) for site in sites if "is now" in site.text), None)
    if told is None:
        return None
    callers = [site for site in sites if f"{function}(" in site.text]
    edits = yield from rewrite(case, callers, lambda line: line.replace(f"{old}=", f"{told[1]}="))
    verdict = yield from propose(f"Call {function} with {told[1]}", edits)
    where = ", ".join(f"{site.path}:{site.line}" for site in callers)
    return conclude(case, verdict, f"{where} passes {old}, which the library calls {told[1]} since its new version.")


def move_out_of_loop(case: Case) -> Words:
    moved = [
        line.strip()
        for line in case.added
        if any(line.strip() == old.strip() and indent_of(line) > indent_of(old) for old in case.removed)
    ]
    if "already" not in case.symptom or not moved:
        return None
    sites = yield from search(re.escape(moved[0]))
    lines = yield from case.read(sites[0].path)
    loop = find_above(lines, sites[0].line, r"^\s*for ")
    changed: dict[int, str | None] = {
        loop: f"{' ' * indent_of(lines[loop - 1])}{moved[0]}\n{lines[loop - 1]}",
        sites[0].line: None,
    }
    verdict = yield from propose("Make one key for all tries", [write_edit(sites[0].path, lines, changed)])
    return conclude(case, verdict, f"{sites[0].path}:{sites[0].line} does once a try what belongs to all of them.")


def give_zone(case: Case) -> Words:
    if "can't compare offset-naive and offset-aware datetimes" not in case.symptom:
        return None
    sites = yield from search(r"return datetime\.fromisoformat\(")
    site = sites[0]
    lines = yield from case.read(site.path)
    margin, parsed = re.match(r"(\s*)return (.*)", site.text).groups()
    edit = write_edit(site.path, lines, {site.line: f"{margin}return {parsed}.replace(tzinfo=UTC)"})
    verdict = yield from propose("Read times without a zone as UTC", [edit])
    if "AssertionError" in verdict:  # a time that has a zone must keep it
        text = f"{margin}when = {parsed}\n{margin}return when if when.tzinfo else when.replace(tzinfo=UTC)"
        edit = write_edit(site.path, lines, {site.line: text})
        verdict = yield from propose("Read times without a zone as UTC", [edit])
    return conclude(case, verdict, f"{site.path}:{site.line} lets times without a zone through, which are compared.")


def use_code_page(case: Case) -> Words:
    failed = re.search(r"'(\w+)' codec can't encode", case.symptom)
    if not failed:
        return None
    sites = yield from search(rf'encode\("{failed[1]}"\)')
    known = yield from search(r"^[A-Z_]*(CODE_PAGE|CHARSET|ENCODING)[A-Z_]* = ")
    lines = yield from case.read(sites[0].path)
    name = known[0].text.split(" = ")[0]
    module = known[0].path.removesuffix(".py").replace("/", ".")
    last_import = max(number for number, line in enumerate(lines, 1) if line.startswith(("import ", "from ")))
    changed = {
        last_import: f"{lines[last_import - 1]}\nfrom {module} import {name}",
        sites[0].line: lines[sites[0].line - 1].replace(f'"{failed[1]}"', name),
    }
    verdict = yield from propose("Encode labels as the printer reads them", [write_edit(sites[0].path, lines, changed)])
    return conclude(case, verdict, f"{sites[0].path}:{sites[0].line} cannot write letters outside of {failed[1]}.")


def guard_none(case: Case) -> Words:
    if "'NoneType' object is not subscriptable" not in case.symptom:
        return None
    path, number = case.frame()
    lines = yield from case.read(path)
    read = re.match(r'(\s*)\w+ = (.+)\["\w+"\]$', lines[number - 1])
    assert read is not None
    start = find_above(lines, number, r"^\s*def ")
    neutral = next(line.strip() for line in lines[start:] if re.match(r"\s+return [\d\[{\"]", line))
    margin, base = read.groups()
    guard = f"{margin}if {base} is None:\n{margin}    {neutral}\n{lines[number - 1]}"
    verdict = yield from propose("Let there be none", [write_edit(path, lines, {number: guard})])
    return conclude(case, verdict, f"{path}:{number} reads {base}, which may be null.")


def release_always(case: Case) -> Words:
    if not re.search(r"are taken|exhausted", case.symptom):
        return None
    sites = yield from search(r"= \w+\.acquire\(\)$")
    taken = re.search(r"(\w+) = (\w+)\.acquire\(\)", sites[0].text)
    assert taken is not None
    lines = yield from case.read(sites[0].path)
    release = f"{taken[2]}.release({taken[1]})"
    end = next(n for n, line in enumerate(lines, 1) if n > sites[0].line and line.strip() == release)
    margin = " " * indent_of(lines[sites[0].line - 1])
    changed = {number: f"    {lines[number - 1]}" for number in range(sites[0].line + 1, end)}
    changed[sites[0].line] = f"{lines[sites[0].line - 1]}\n{margin}try:"
    changed[end] = f"{margin}finally:\n{margin}    {release}"
    verdict = yield from propose(
        "Give the connection back on every way out", [write_edit(sites[0].path, lines, changed)]
    )
    return conclude(case, verdict, f"{sites[0].path}:{sites[0].line} keeps its connection where it returns early.")


def await_promise(case: Case) -> Words:
    called = re.search(r"(\w+)\(\.\.\.\)\.\w+ is not a function", case.symptom)
    if not called:
        return None
    name = called[1]
    sites = yield from search(rf"\b{name}\(")
    if not any(site.text.lstrip().startswith("async function") for site in sites):
        return None
    late = [site for site in sites if "await" not in site.text and "function" not in site.text]
    edits = []
    for site in late:
        lines = yield from case.read(site.path)
        begin = find_above(lines, site.line, r"^\s*function ")
        changed = {
            begin: lines[begin - 1].replace("function ", "async function ", 1),
            site.line: lines[site.line - 1].replace(f"{name}()", f"(await {name}())"),
        }
        edits.append(write_edit(site.path, lines, changed))
    verdict = yield from propose(f"Wait for {name}", edits)
    return conclude(case, verdict, f"{late[0].path}:{late[0].line} uses a promise as if it were its value.")


def let_be_missing(case: Case) -> Words:
    read = re.search(r"Cannot read properties of (?:undefined|null) \(reading '(\w+)'\)", case.symptom)
    if not read:
        return None
    path, number = case.frame()
    lines = yield from case.read(path)
    mended = re.sub(rf"([\w.]+)\.{read[1]}\b", rf"\1?.{read[1]} ?? null", lines[number - 1])
    verdict = yield from propose(f"Let {read[1]} be missing", [write_edit(path, lines, {number: mended})])
    return conclude(case, verdict, f"{path}:{number} reads {read[1]} of what not everybody has.")


def make_map(case: Case) -> Words:
    if "assignment to entry in nil map" not in case.symptom:
        return None
    path, number = case.frame()
    lines = yield from case.read(path)
    written = re.search(r"\.(\w+)\[", lines[number - 1])
    assert written is not None
    sites = yield from search(rf"\b{written[1]}\s+map\[|^\s*return &\w+\{{.*\}}$")
    kind = next(re.search(r"map\[.*", site.text)[0] for site in sites if "map[" in site.text)
    made = [site for site in sites if "return &" in site.text]
    edits = yield from rewrite(case, made, lambda line: line.removesuffix("}") + f", {written[1]}: make({kind})}}")
    yield from find_culprit(case, written[1])
    verdict = yield from propose(f"Make the map {written[1]}", edits)
    return conclude(case, verdict, f"{case.path_of(path)}:{number} writes to a map that {made[0].path} does not make.")


def guard_null(case: Case) -> Words:
    null = re.search(r'because "(\w+)" is null', case.symptom)
    if not null:
        return None
    path, number = case.frame()
    lines = yield from case.read(path)
    margin = " " * indent_of(lines[number - 1])
    guard = f"{margin}if ({null[1]} == null) {{\n{margin}    return 0;\n{margin}}}\n{lines[number - 1]}"
    yield from find_culprit(case, null[1])
    verdict = yield from propose(f"Let there be no {null[1]}", [write_edit(case.path_of(path), lines, {number: guard})])
    return conclude(case, verdict, f"{case.path_of(path)}:{number} uses {null[1]}, which may be null.")


def take_first_if_any(case: Case) -> Words:
    if "index out of bounds: the len is 0" not in case.symptom:
        return None
    path, number = case.frame()
    lines = yield from case.read(path)
    read = re.match(r"(\s*)let (\w+) = (.+)\[0\];", lines[number - 1])
    assert read is not None
    margin, name, rows = read.groups()
    text = f"{margin}let Some(&{name}) = {rows}.first() else {{\n{margin}    return 0.0;\n{margin}}};"
    yield from find_culprit(case, name)
    verdict = yield from propose(f"Let {rows.rsplit('.', 1)[-1]} be empty", [write_edit(path, lines, {number: text})])
    return conclude(case, verdict, f"{path}:{number} takes the first of {rows}, which may be empty.")


CRAFTS: tuple[Craft, ...] = (
    follow_rename,
    keep_whole_numbers,
    look_up_by_key,
    write_plain_number,
    follow_changelog,
    move_out_of_loop,
    give_zone,
    use_code_page,
    guard_none,
    release_always,
    await_promise,
    let_be_missing,
    make_map,
    guard_null,
    take_first_if_any,
)
