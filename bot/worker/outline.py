"""Functions and classes of source files, by tree-sitter: the same for eight languages. In the worker only.

Grammars are loaded when a file of their language is met. A file that cannot be parsed has no outline; nothing fails.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Final

from bot.domain.suspects.reach import Definition

MAX_BYTES: Final = 512 * 1024
MAX_DEFINITIONS: Final = 2_000
_MAX_DEPTH: Final = 60

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
    {
        "assignment", "variable_declarator", "const_spec", "const_item", "static_item", "var_spec",
        "assignment_expression", "pair",
    }
)  # fmt: skip
_VALUES: Final = frozenset({"arrow_function", "function_expression", "function", "lambda"})


def _python() -> object:
    import tree_sitter_python  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_python.language()


def _javascript() -> object:
    import tree_sitter_javascript  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_javascript.language()


def _typescript() -> object:
    import tree_sitter_typescript  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_typescript.language_typescript()


def _tsx() -> object:
    import tree_sitter_typescript  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_typescript.language_tsx()


def _java() -> object:
    import tree_sitter_java  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_java.language()


def _go() -> object:
    import tree_sitter_go  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_go.language()


def _ruby() -> object:
    import tree_sitter_ruby  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_ruby.language()


def _rust() -> object:
    import tree_sitter_rust  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_rust.language()


def _php() -> object:
    import tree_sitter_php  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_php.language_php()


def _csharp() -> object:
    import tree_sitter_c_sharp  # noqa: PLC0415 -- a grammar is loaded where it is met

    return tree_sitter_c_sharp.language()


#: Suffix → grammar.
_GRAMMARS: Final[Mapping[str, Callable[[], object]]] = {
    ".py": _python,
    ".js": _javascript,
    ".jsx": _javascript,
    ".mjs": _javascript,
    ".cjs": _javascript,
    ".ts": _typescript,
    ".tsx": _tsx,
    ".java": _java,
    ".go": _go,
    ".rb": _ruby,
    ".rs": _rust,
    ".php": _php,
    ".cs": _csharp,
}


def can_outline(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _GRAMMARS


def parse_tree(path: str, source: bytes) -> Any:  # noqa: ANN401 -- the grammars carry no types
    """Return the syntax tree of a file, None where its language is not known."""
    suffix = PurePosixPath(path).suffix.lower()
    return _parser(suffix).parse(source) if suffix in _GRAMMARS else None


def outline(path: str, source: bytes) -> tuple[Definition, ...]:
    """Return what a file defines, in order; empty where its language is not known or it is too large."""
    tree = parse_tree(path, source) if len(source) <= MAX_BYTES else None
    if tree is None:
        return ()
    found: list[Definition] = []
    for definition in _walk(path, tree.root_node):
        found.append(definition)
        if len(found) >= MAX_DEFINITIONS:
            break
    return tuple(found)


@cache
def _parser(suffix: str) -> Any:  # noqa: ANN401 -- the grammars carry no types
    from tree_sitter import Language, Parser  # noqa: PLC0415 -- only a worker that ranks commits needs it

    return Parser(Language(_GRAMMARS[suffix]()))


def _walk(path: str, root: Any) -> Iterator[Definition]:  # noqa: ANN401 -- as above
    """Yield definitions depth first, without recursion: hostile sources nest deeper than any stack."""
    waiting = [(child, "", 1) for child in reversed(root.named_children)]
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
            waiting += [(child, inside, depth + 1) for child in reversed(node.named_children)]


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
        if not is_function and not (is_top and _is_constant(node, value)):
            return ""
        named = node.child_by_field_name("left") or node.child_by_field_name("name") or node.child_by_field_name("key")
        if named is not None and named.type == "member_expression":  # exports.load, Cart.prototype.total
            named = named.child_by_field_name("property")
    else:
        return ""
    text = named.text.decode("utf-8", "replace") if named is not None else ""
    return text if text.replace("_", "").replace("$", "").isalnum() and len(text) <= 200 else ""


def _is_constant(node: Any, value: Any) -> bool:  # noqa: ANN401 -- as above
    """Say whether a binding is a constant of its own: no entry of a table, nor what is only exported under its name."""
    if node.type == "assignment_expression":
        return value is not None and value.type not in {"identifier", "object", "call_expression"}
    return bool(node.type != "pair")
