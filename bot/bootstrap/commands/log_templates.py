"""`nightshift logs templates`: which kinds of lines a log has, and which kind each line is of."""

import json
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bot.bootstrap.commands.log_files import Cleaner, open_logs
from bot.reduction.blocks import fold_blocks, sample_layout
from bot.reduction.templates import Template, Texts

SCHEMA: Final = "nightshift.logs.templates/1"
_AT_ONCE: Final = 100_000


def write_templates(path: Path, *, as_json: bool) -> Iterator[str]:
    """Yield in pieces the templates of a file and, as JSON, the template of each of its lines. Raises `Refused`."""
    texts = Texts()
    parts: list[array[int]] = []
    with ExitStack() as stack:
        log = open_logs([path], stack)[0]
        layout, blocks = sample_layout(log.blocks())
        parts.extend(texts.add(folded.texts, folded.codes) for folded in fold_blocks(blocks, layout))
    templates, places = texts.find_templates()
    cleaner = Cleaner()
    shown = cleaner.redact([template.text for template in templates])
    if as_json:
        head = {"schema": SCHEMA, "file": log.name, "columns": layout.columns, "notes": log.notes}
        yield from _write(head, templates, shown, parts, places)
        return
    yield from (f"{note}\n" for note in log.notes)
    for template, text in sorted(zip(templates, shown, strict=True), key=lambda pair: (-pair[0].count, pair[0].id)):
        yield f"{template.count:>10,}  {cleaner.show(text)}\n"


def _write(
    head: Mapping[str, object],
    templates: list[Template],
    shown: list[str],
    parts: list["array[int]"],
    places: list[int],
) -> Iterator[str]:
    """Yield the pieces of one JSON object: a log may have more lines than would do as one text."""
    rows = [
        {"id": template.id, "count": template.count, "template": text}
        for template, text in zip(templates, shown, strict=True)
    ]
    ids = [str(templates[place].id) for place in places]
    whole = {**head, "line_count": sum(map(len, parts)), "templates": rows}
    yield json.dumps(whole, ensure_ascii=True)[:-1] + ', "lines": ['
    is_first = True
    for part in parts:
        for start in range(0, len(part), _AT_ONCE):
            yield ("" if is_first else ", ") + ", ".join(map(ids.__getitem__, part[start : start + _AT_ONCE]))
            is_first = False
    yield "]}\n"
