"""What the colours need to know of each language: its comments, strings and words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, kw_only=True, eq=False)
class Language:
    """One language. `blocks` maps what may stay open over lines to what closes it; `keys` says that a name before
    ":" or "=" is a key; `meta` is a pattern for decorators and the like."""

    words: frozenset[str] = frozenset()
    comments: tuple[str, ...] = ()
    blocks: Mapping[str, str] = field(default_factory=dict)
    quotes: str = "\"'"
    meta: str = ""
    keys: bool = False
    any_case: bool = False


def find_language(name: str) -> Language | None:
    """Return the language of a file by its name, None where it is not known."""
    folded = name.casefold()
    stem, _, ending = folded.rpartition(".")
    return _NAMES.get(folded) or (_ENDINGS.get(ending) if stem else None)


_SLASHES: Final = MappingProxyType({"/*": "*/"})
_SLASHES_AND_TICKS: Final = MappingProxyType({"/*": "*/", "`": "`"})
_C_WORDS: Final = (
    "break case catch class const continue default delete do else enum extends false final finally for if implements "
    "import in instanceof interface new null package private protected public return static super switch this throw "
    "true try void while"
)


def _words(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


_PYTHON: Final = Language(
    words=_words(
        "False None True and as assert async await break case class continue def del elif else except finally for "
        "from global if import in is lambda match nonlocal not or pass raise return self try type while with "
        "yield"
    ),
    comments=("#",),
    blocks=MappingProxyType({'"""': '"""', "'''": "'''"}),
    meta=r"@\w++",
)
_SCRIPT: Final = Language(
    words=_words(
        _C_WORDS,
        "any as async await boolean constructor debugger declare export from function get keyof let namespace "
        "never number of readonly set string type typeof undefined unknown var yield",
    ),
    comments=("//",),
    blocks=_SLASHES_AND_TICKS,
    meta=r"@\w++",
)
_GO: Final = Language(
    words=_words(
        _C_WORDS,
        "any bool byte chan defer error fallthrough func go goto int int64 iota len make map nil range rune "
        "select string struct type uint var",
    ),
    comments=("//",),
    blocks=_SLASHES_AND_TICKS,
)
_JAVA: Final = Language(
    words=_words(
        _C_WORDS,
        "abstract as boolean by byte char companion data double float fun int internal is lateinit lazy let long "
        "namespace native object open out override record sealed short string synchronized throws transient using "
        "val var virtual volatile when where yield def trait given",
    ),
    comments=("//",),
    blocks=_SLASHES,
    meta=r"@\w++",
)
_C: Final = Language(
    words=_words(
        _C_WORDS,
        "auto bool char constexpr double explicit extern float friend goto inline int long mutable namespace "
        "noexcept nullptr operator override register short signed sizeof struct template typedef typename union "
        "unsigned using virtual volatile",
    ),
    comments=("//",),
    blocks=_SLASHES,
    meta=r"#[ \t]*+(?:include|define|ifdef|ifndef|if|else|elif|endif|undef|pragma|error)\b",
)
_RUST: Final = Language(
    words=_words(
        _C_WORDS,
        "as async await bool crate dyn extern fn i32 i64 impl let loop match mod move mut pub ref self Self str "
        "struct trait type u8 u32 u64 unsafe use usize where",
    ),
    comments=("//",),
    blocks=_SLASHES,
    quotes='"',
    meta=r"#!?\[",
)
_SWIFT: Final = Language(
    words=_words(
        _C_WORDS,
        "as associatedtype defer fileprivate func guard inout init internal is let mutating nil open operator "
        "protocol repeat self some struct subscript throws typealias var weak where async await",
    ),
    comments=("//",),
    blocks=_SLASHES,
    quotes='"',
    meta=r"@\w++",
)
_PHP: Final = Language(
    words=_words(_C_WORDS, "and as echo elseif endif foreach fn function global namespace or require use var yield"),
    blocks=_SLASHES,
    comments=("//", "#"),
)
_RUBY: Final = Language(
    words=_words(
        "alias and begin class def do else elsif end ensure false for if in module next nil not or raise redo "
        "require rescue retry return self super then true unless until when while yield"
    ),
    comments=("#",),
)
_SHELL: Final = Language(
    words=_words(
        "break case continue do done elif else esac eval exec exit export fi for function if in local readonly "
        "return set shift source then trap unset until while"
    ),
    comments=("#",),
    meta=r"\$[\w{(]",
)
_ELIXIR: Final = Language(
    words=_words("case cond def defmodule defp do else end false fn if import nil not or true use when with"),
    comments=("#",),
)
_DATA: Final = Language(words=_words("true false null yes no on off"), comments=("#",), keys=True)
_INI: Final = Language(words=_words("true false yes no on off"), comments=("#", ";"), keys=True)
_JSON: Final = Language(words=_words("true false null"), comments=("//",), blocks=_SLASHES, keys=True, quotes='"')
_TERRAFORM: Final = Language(
    words=_words("data false for if in locals module null output provider resource true variable"),
    comments=("#",),
    keys=True,
)
_MAKE: Final = Language(
    words=_words("define else endef endif export ifdef ifeq ifndef ifneq include"), comments=("#",), meta=r"\$[\w({@<^]"
)
_DOCKER: Final = Language(
    words=_words(
        "ADD ARG AS CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN SHELL STOPSIGNAL USER VOLUME WORKDIR"
    ),
    comments=("#",),
)
_SQL: Final = Language(
    words=_words(
        "add all alter and as asc begin between by case check column commit constraint create cross default "
        "delete desc distinct drop else end exists foreign from full group having if in index inner insert into "
        "is join key left like limit not null offset on or order outer primary references returning right "
        "rollback select set table then union unique update using values view when where with"
    ),
    comments=("--",),
    blocks=_SLASHES,
    any_case=True,
)
_LUA: Final = Language(
    words=_words(
        "and break do else elseif end false for function goto if in local nil not or repeat return then true "
        "until while"
    ),
    comments=("--",),
)
_MARKUP: Final = Language(blocks=MappingProxyType({"<!--": "-->"}), quotes='"', meta=r"</?+[\w:-]++|/?+>")
_STYLE: Final = Language(blocks=_SLASHES, keys=True, meta=r"[@.#][\w-]++")

_ENDINGS: Final[Mapping[str, Language]] = {
    ending: language
    for endings, language in (
        ("py pyi pyw", _PYTHON),
        ("js mjs cjs jsx ts mts cts tsx vue svelte", _SCRIPT),
        ("go", _GO),
        ("java kt kts scala groovy gradle cs dart", _JAVA),
        ("c h cc cpp cxx hh hpp hxx m mm ino", _C),
        ("rs", _RUST),
        ("swift", _SWIFT),
        ("php", _PHP),
        ("rb rake gemspec", _RUBY),
        ("sh bash zsh ksh", _SHELL),
        ("ex exs", _ELIXIR),
        ("yaml yml toml", _DATA),
        ("ini cfg conf properties env", _INI),
        ("json jsonc json5", _JSON),
        ("tf hcl", _TERRAFORM),
        ("mk", _MAKE),
        ("sql", _SQL),
        ("lua", _LUA),
        ("html htm xml svg xhtml", _MARKUP),
        ("css scss less", _STYLE),
    )
    for ending in endings.split()
}
_NAMES: Final[Mapping[str, Language]] = {
    "makefile": _MAKE,
    "gnumakefile": _MAKE,
    "dockerfile": _DOCKER,
    "containerfile": _DOCKER,
    "gemfile": _RUBY,
    "rakefile": _RUBY,
    "jenkinsfile": _JAVA,
    ".gitconfig": _INI,
    ".editorconfig": _INI,
    ".env": _INI,
    ".bashrc": _SHELL,
    ".profile": _SHELL,
}
