"""The profiles of models and the table of GPUs, read from TOML: those that come along, and profiles of one's own."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.bootstrap.commands.named_files import read_named
from bot.domain.models.launch import OPTIONS
from bot.domain.models.profile import CacheKind, CacheLayers, Draft, Flag, Gpu, ModelProfile
from bot.domain.models.reasoning import Effort, Reasoning
from bot.errors import ConfigError, Problem, Reason, Refused

_IN_WHEEL: Final = Path(__file__).with_name("sglang")
_IN_CHECKOUT: Final = Path(__file__).parents[2] / "infra" / "sglang"
PLACE: Final = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
"""The folder with the profiles, the table of GPUs and the launcher."""

MAX_BYTES: Final = 256 * 1024
MOST_GPUS: Final = 64

_VISIBLE: Final = r"^[^\x00-\x1f\x7f-\x9f\x{202a}-\x{202e}\x{2066}-\x{2069}]+$"
_GPUS: Final = re.compile(r"(?:(?P<count>[0-9]{1,4}) ?[xX×] ?)?(?P<name>.+)")
_PLAIN: Final = r"^[A-Za-z0-9._/:@+-]*$"

_Text = Annotated[str, Field(min_length=1, max_length=400, pattern=_VISIBLE)]
_Word = Annotated[str, Field(max_length=200, pattern=_PLAIN)]
_Count = Annotated[int, Field(ge=1, le=100_000_000)]
_Some = Annotated[int, Field(ge=0, le=100_000_000)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Flag(_Table):
    name: Annotated[str, Field(max_length=80)]
    value: _Word = ""
    why: _Text
    only: list[_Word] = []

    @model_validator(mode="after")
    def _is_known(self) -> "_Flag":
        if self.name not in OPTIONS:
            raise ValueError(f"is no option that may be set here; those are {', '.join(sorted(OPTIONS))}")
        return self

    def build(self) -> Flag:
        return Flag(name=self.name, value=self.value, why=self.why, only=tuple(self.only))


class _Cache(_Table):
    kind: Literal["heads", "latent", "rows", "state"]
    layers: _Count
    kv_heads: _Some = 0
    head_size: _Some = 0
    width: _Some = 0
    row_bytes: _Some = 0
    tokens_per_row: _Count = 1
    run_bytes: _Some = 0
    slots: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _is_whole(self) -> "_Cache":
        needs = {
            "heads": ("kv_heads", "head_size"),
            "latent": ("width",),
            "rows": ("row_bytes",),
            "state": ("run_bytes",),
        }
        missing = [name for name in needs[self.kind] if not getattr(self, name)]
        if missing:
            raise ValueError(f"the kind {self.kind} needs {' and '.join(missing)}")
        return self

    def build(self) -> CacheLayers:
        return CacheLayers(**{**self.model_dump(), "kind": CacheKind(self.kind)})


class _Draft(_Table):
    gb: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    is_allowance: bool = False
    layers: _Some = 0
    flags: list[_Flag] = []

    def build(self) -> Draft:
        flags = tuple(flag.build() for flag in self.flags)
        return Draft(gb=self.gb, is_allowance=self.is_allowance, layers=self.layers, flags=flags)


_Fields = dict[str, str | int | float | bool | dict[str, str | int | float | bool]]


class _Reasoning(_Table):
    field: Literal["reasoning_content", "reasoning", ""] = "reasoning_content"
    always: _Fields = {}
    efforts: dict[Literal["none", "low", "medium", "high", "max"], _Fields] = {}

    def build(self) -> Reasoning:
        efforts = {Effort(effort): json.dumps(fields, sort_keys=True) for effort, fields in self.efforts.items()}
        return Reasoning(efforts=efforts, always=json.dumps(self.always, sort_keys=True), field=self.field)


class _Profile(_Table):
    title: _Text
    repository: Annotated[_Word, Field(min_length=1)]
    parameters_billion: Annotated[float, Field(gt=0, le=100_000)]
    precision: _Text
    bits: Annotated[float, Field(ge=1, le=32)]
    weights_gb: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    context: _Count
    layers: _Count
    heads: _Some = 0
    most_split: _Some = 0
    has_vision: bool = False
    tool_parser: _Word = ""
    reasoning_parser: _Word = ""
    notes: list[_Text] = []
    sources: Annotated[list[_Text], Field(min_length=1)]
    cache: Annotated[list[_Cache], Field(min_length=1)]
    flags: list[_Flag] = []
    draft: _Draft | None = None
    reasoning: _Reasoning = _Reasoning()

    @model_validator(mode="after")
    def _remembers_tokens(self) -> "_Profile":
        if all(part.kind == "state" for part in self.cache):
            raise ValueError("cache: at least one part must remember tokens")
        return self

    def build(self, name: str) -> ModelProfile:
        plain = self.model_dump(exclude={"cache", "flags", "draft", "notes", "sources", "reasoning"})
        return ModelProfile(
            name=name,
            cache=tuple(part.build() for part in self.cache),
            flags=tuple(flag.build() for flag in self.flags),
            draft=self.draft.build() if self.draft else None,
            reasoning=self.reasoning.build(),
            notes=tuple(self.notes),
            sources=tuple(self.sources),
            **plain,
        )


class _Gpu(_Table):
    memory_gb: Annotated[float, Field(gt=0, le=100_000)]
    vendor: Literal["nvidia", "amd"]
    source: _Text
    memory_mib: _Some = 0


class _Gpus(_Table):
    gpus: dict[str, _Gpu]


def list_models() -> list[str]:
    """Return the names of the profiles that come along."""
    return sorted(path.stem for path in (PLACE / "models").glob("*.toml"))


def find_profile(name: str) -> ModelProfile:
    """Return the profile of that name, or in the file of that path. Raises `Refused`, or `ConfigError` on faults."""
    if name.endswith(".toml"):
        path = Path(name)
    elif name.lower() in list_models():
        path = PLACE / "models" / f"{name.lower()}.toml"
    else:
        known = ", ".join(list_models())
        text = f"There is no profile of {name!r}. There are {known}; or give the path of a profile of your own (.toml)."
        raise Refused(text, Reason.NOT_FOUND)
    table = _load(path)
    try:
        return _Profile.model_validate(table).build(path.stem)
    except ValidationError as error:
        raise ConfigError(_problems(path, error)) from None


def find_reasoning(profile: str, model: str) -> Reasoning:
    """Return how a model thinks: after the profile of that name or path, else after one whose repository is the model's
    name; where there is none nothing is known. Raises `Refused`, or `ConfigError` on faults."""
    known = find_known(profile, model)
    return known.reasoning if known else Reasoning()


def find_known(profile: str, model: str) -> ModelProfile | None:
    """Return the profile of that name or path, else the one whose repository is the model's name. Raises `Refused`, or
    `ConfigError` on faults."""
    if profile:
        return find_profile(profile)
    known = (find_profile(name) for name in list_models())
    return next((each for each in known if each.repository.lower() == model.lower()), None)


def load_gpus() -> tuple[Gpu, ...]:
    """Return the table of GPUs."""
    table = _Gpus.model_validate(_load(PLACE / "gpus.toml"))
    return tuple(Gpu(name=name, **gpu.model_dump()) for name, gpu in table.gpus.items())


def read_gpus(text: str) -> tuple[int, Gpu]:
    """Return (count, kind) of "4xH100", "4 × H100" or "H100". Raises `Refused` with what there is."""
    known = load_gpus()
    read = _GPUS.fullmatch(text.strip())
    count, name = (int(read["count"] or 1), read["name"].lower()) if read else (0, "")
    gpu = next((gpu for gpu in known if gpu.name.lower() == name), None)
    if gpu is None or not 1 <= count <= MOST_GPUS:
        names = ", ".join(f"{gpu.name} ({gpu.memory_gb:g} GB)" for gpu in known)
        what = f"{text!r} is not understood: write 4xH100. There are {names}; at most {MOST_GPUS} in a node."
        raise Refused(what, Reason.BAD_INPUT)
    return count, gpu


def _load(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_named(path, most=MAX_BYTES).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError([Problem(where=str(path), what=f"is not TOML: {error}")]) from None


def _problems(path: Path, error: ValidationError) -> list[Problem]:
    return [
        Problem(where=f"{path}: {'.'.join(str(part) for part in fault['loc']) or 'the profile'}", what=fault["msg"])
        for fault in error.errors(include_url=False, include_input=False)
    ]
