"""Functions and classes of source files, by tree-sitter: the same for eight languages. In the worker only.

Grammars are loaded when a file of their language is met. A file that cannot be parsed has no outline; nothing fails.
"""

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Final

from bot.domain.reach import Definition

MAX_BYTES: Final = 512 * 1024
MAX_DEFINITIONS: Final = 2_000
_MAX_DEPTH: Final = 60

#: Suffix → grammar and the function in it that names the language.
_GRAMMARS: Final[Mapping[str, tuple[str, str]]] = {
    ".py": ("tree_sitter_python", "language"),
    ".js": ("tree_sitter_javascript", "language"),
    ".jsx": ("tree_sitter_javascript", "language"),
    ".mjs": ("tree_sitter_javascript", "language"),
    ".cjs": ("tree_sitter_javascript", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
    ".java": ("tree_sitter_java", "language"),
    ".go": ("tree_sitter_go", "language"),
    ".rb": ("tree_sitter_ruby", "language"),
    ".rs": ("tree_sitter_rust", "language"),
    ".php": ("tree_sitter_php", "language_php"),
    ".cs": ("tree_sitter_c_sharp", "language"),
}
_CLASSES: Final = frozenset(
    {
        "class_definition", "class_declaration", "class", "module", "interface_declaration", "struct_declaration",
        "record_declaration", "enum_declaration", "impl_item", "trait_item", "struct_item", "trait_declaration",
        "type_spec", "abstract_class_declaration",
    }
)  # fmt: skip
_FUNCTIONS: Final = frozenset(
    {
        "function_definition", "function_declaration", "generator_function_declaration", "method_definition",
        "method_declaration", "constructor_declaration", "local_function_statement", "function_item", "method",
        "singleton_method", "property_declaration",
    }
)  # fmt: skip
#: A name that is given a value: a function where the value is one, a constant at a file's own level.
_BINDINGS: Final = frozenset(
    {"assignment", "variable_declarator", "const_spec", "const_item", "static_item", "var_spec"}
)
_VALUES: Final = frozenset({"arrow_function", "function_expression", "function", "lambda"})


def can_outline(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _GRAMMARS


def outline(path: str, source: bytes) -> tuple[Definition, ...]:
    """Return what a file defines, in order; empty where its language is not known or it is too large."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in _GRAMMARS or len(source) > MAX_BYTES:
        return ()
    tree = _parser(suffix).parse(source)
    found: list[Definition] = []
    for definition in _walk(path, tree.root_node):
        found.append(definition)
        if len(found) >= MAX_DEFINITIONS:
            break
    return tuple(found)


@cache
def _parser(suffix: str) -> Any:  # noqa: ANN401 -- the grammars carry no types
    from tree_sitter import Language, Parser  # noqa: PLC0415 -- only a worker that ranks commits needs it

    module, function = _GRAMMARS[suffix]
    return Parser(Language(getattr(importlib.import_module(module), function)()))


def _walk(path: str, root: Any) -> Iterator[Definition]:  # noqa: ANN401 -- as above
    """Yield definitions depth first, without recursion: hostile sources nest deeper than any stack."""
    waiting = [(child, "", 1) for child in reversed(root.children)]
    while waiting:
        node, owner, depth = waiting.pop()
        is_class = node.type in _CLASSES
        name = _name(node, is_top=depth <= 3 and not owner) if node.is_named else ""
        if name:
            yield Definition(
                name=name,
                path=path,
                start=_first_line(node),
                end=node.end_point[0] + 1,
                owner=owner,
                is_class=is_class,
            )
        if depth < _MAX_DEPTH:
            inside = name if is_class and name else owner
            waiting += [(child, inside, depth + 1) for child in reversed(node.children)]


def _first_line(node: Any) -> int:  # noqa: ANN401 -- as above
    """Decorators and annotations belong to what they stand above."""
    parent = node.parent
    above = parent is not None and parent.type == "decorated_definition"
    return int((parent if above else node).start_point[0]) + 1


def _name(node: Any, *, is_top: bool) -> str:  # noqa: ANN401 -- as above
    if node.type in _CLASSES or node.type in _FUNCTIONS:
        named = node.child_by_field_name("name") or node.child_by_field_name("type")
    elif node.type in _BINDINGS:
        value = node.child_by_field_name("right") or node.child_by_field_name("value")
        is_function = value is not None and value.type in _VALUES
        if not is_function and not is_top:
            return ""
        named = node.child_by_field_name("left") or node.child_by_field_name("name")
    else:
        return ""
    text = named.text.decode("utf-8", "replace") if named is not None else ""
    return text if text.replace("_", "").replace("$", "").isalnum() and len(text) <= 200 else ""
