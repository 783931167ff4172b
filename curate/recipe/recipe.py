"""What a user writes: a recipe and its steps, validated, with the line of everything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from curate import assets
from curate.environment import withhold
from curate.errors import RecipeError
from curate.llm.model import Budget, Model
from curate.recipe.document import Source, check_numbers, explained, read_yaml, validated
from curate.recipe.prices import Priced, priced, tables_of
from curate.stages.base import Filter, Global, Stage
from curate.stages.generator import Generator
from curate.stages.plugins import Plugin, load_plugin, plugin_of
from curate.stages.registry import stage_class
from curate.stages.terms import USES
from curate.store.files import ASIDE
from curate.store.kept import FOLDER as KEPT
from curate.store.latest import LATEST

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_RECIPE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
RESERVED: Final = ("events", "lease", "logs", "pieces", "signals", "steps", ASIDE, KEPT, LATEST)
"""Folders of a store: what a step gives is published beside them, under the step's id. Files of a store have a dot in their names,
which ids have not."""


class Guard(BaseModel):
    """Stops the run when a step drops more, or less, than expected: of its rows, or of their text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_drop: float | None = Field(None, ge=0, le=1, description="largest share of rows that may go")
    min_drop: float | None = Field(None, ge=0, le=1, description="smallest share of rows that must go")
    max_drop_text: float | None = Field(
        None, ge=0, le=1, description="largest share of the text that may go, with rows or taken out of those that stay"
    )
    min_drop_text: float | None = Field(None, ge=0, le=1, description="smallest share of the text that must go")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("it needs max_drop, min_drop, max_drop_text or min_drop_text")
        for most, least in ((self.max_drop, self.min_drop), (self.max_drop_text, self.min_drop_text)):
            if most is not None and least is not None and least > most:
                raise ValueError(f"no share is at least {least} and at most {most}")
        return self


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str
    use: str
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")
    from_: str | list[str] | None = Field(None, alias="from")
    guard: Guard | None = None
    about: str = ""


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    about: str = ""
    seed: int = Field(0, ge=0, lt=1 << 63)
    plugins: list[str] = Field(default_factory=list)
    models: dict[str, Model] = Field(default_factory=dict)
    prices: list[str] = Field(default_factory=list)
    budget: Budget = Field(default_factory=Budget)
    takedown: list[str] = Field(default_factory=list)
    use: str | None = None
    allow_terms: list[str] = Field(default_factory=list)
    steps: list[dict[str, Any]] = Field(min_length=1)

    @field_validator("takedown", "prices", "allow_terms", mode="before")
    @classmethod
    def _one_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @field_validator("use")
    @classmethod
    def _one_of_uses(cls, use: str | None) -> str | None:
        if use is not None and use not in USES:
            raise ValueError(f"there are {', '.join(USES)}")
        return use

    @field_validator("allow_terms")
    @classmethod
    def _for_a_use(cls, allowed: list[str], info: ValidationInfo) -> list[str]:
        if allowed and info.data.get("use") is None:
            raise ValueError("without 'use:' no terms are refused; declare the use, or remove it")
        return allowed


class Step:
    """One validated step.

    Attributes:
        id, stage: its name in the recipe and its settings.
        inputs: ids of the steps whose rows it reads.
        guard: shares that stop the run.
        place: ``file:line`` of its settings, for errors.
        about: a sentence for people; of a source what is to be put where it reads.
    """

    def __init__(
        self,
        step_id: str,
        stage: Stage,
        inputs: tuple[str, ...] | None,
        guard: Guard | None,
        place: str,
        about: str = "",
    ) -> None:
        self.id, self.stage, self.inputs, self.guard, self.place = step_id, stage, inputs, guard, place
        self.about = about


class Recipe:
    """A validated recipe.

    Attributes:
        name, about, seed: as written.
        path: the file it came from; relative paths in it start from its folder.
        models, budget: what an LLM step may use; the models with the prices they are counted at.
        prices: of each model what it is counted at and where that is from, for people.
        model_places: ``file:line`` of each model, for errors.
        takedown: paths of removal lists.
        use: what the data is for, a key of stages.terms.USES; None: not declared, and no terms are refused.
        allow_terms: terms that are let pass although they conflict with it.
        steps: in the order of the file.
    """

    def __init__(
        self, head: _Recipe, path: Path, steps: list[Step], models: Mapping[str, Priced], places: Mapping[str, str]
    ) -> None:
        self.name, self.about, self.seed, self.path = head.recipe, head.about, head.seed, path
        self.models = {name: one.model for name, one in models.items()}
        self.prices = {name: one.told for name, one in models.items()}
        self.model_places = dict(places)
        self.budget, self.steps = head.budget, steps
        self.takedown = tuple(head.takedown)
        self.use, self.allow_terms = head.use, tuple(head.allow_terms)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The plugins that its stages come from, by name."""
        found = {plugin.name: plugin for step in self.steps if (plugin := plugin_of(step.stage)) is not None}
        return tuple(found[name] for name in sorted(found))

    @property
    def asked(self) -> set[str]:
        """Names of all models that some step may ask: for what others failed, or a gate sends on, too."""
        return {name for step in self.steps if isinstance(step.stage, Generator) for name in step.stage.models()}

    def trusts(self) -> list[str]:
        """Whose code it runs and whom it sends documents, and which key: one line each, to be read before it runs."""
        asked = self.asked
        lines = [f"plugin {stage} from {plugin}" for plugin in self.plugins for stage in plugin.stages]
        for name, model in sorted(self.models.items()):
            if name in asked and model.base_url is not None:
                key = f" with the key in {model.key_env}" if model.key_env else ""
                lines.append(f"asks {model.model} at {', '.join(model.endpoints)}{key}")
        return lines


def find_recipe(name: str) -> Path:
    """A recipe by path (ends in .yaml or has a slash) or by the name of a shipped one."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    return assets.find("pipelines", name)


def load_recipe(path: Path, *, plugins: bool = True) -> Recipe:
    """Read and validate a recipe; raises RecipeError with the line and the nearest right name.

    The keys that its models name leave the environment at once, whatever they are called. With ``plugins`` those that it
    names are loaded. A report does not: who looks at a run of somebody else's runs nothing of it.
    """
    source = read_yaml(path)
    if not isinstance(source.values, dict):
        raise RecipeError("a recipe is a mapping with 'recipe:' and 'steps:'", place=source.place())
    head = validated(_Recipe, source.values, source, (), "a recipe")
    if not _RECIPE.fullmatch(head.recipe):
        raise RecipeError(
            f"'{head.recipe}' is no name", place=source.place(("recipe",)), cure="use a-z, 0-9, -, . and _"
        )
    # Who looks at what a run left spends nothing.
    models = _priced(head, source) if plugins else {name: Priced(model, "") for name, model in head.models.items()}
    for number, name in enumerate(head.plugins if plugins else ()):
        _load_plugin(name, source.place(("plugins", number)))
    withhold(model.key_env for model in head.models.values() if model.key_env)
    steps: list[Step] = []
    for index, values in enumerate(source.values["steps"]):
        steps.append(_step(values, source, index, [s.id for s in steps]))
    places = {name: source.place(("models", name)) for name in models}
    return Recipe(head, path, steps, models, places)


def _load_plugin(name: str, place: str) -> None:
    try:
        load_plugin(name)
    except RecipeError as error:
        raise RecipeError(error.cause, place=place, cure=error.cure) from None


def _priced(head: _Recipe, source: Source) -> dict[str, Priced]:
    """The models with their prices: without one every answer would count as free, and the budget would hold nothing."""
    tables = tables_of(head.prices, source) if head.models else []
    return {name: priced(name, model, tables, source) for name, model in head.models.items()}


def _step(values: Any, source: Source, index: int, earlier: list[str]) -> Step:
    where: tuple[str | int, ...] = ("steps", index)
    raw = validated(_Step, values, source, where, "a step")
    place = source.place((*where, "id"))
    if not NAME.fullmatch(raw.id):
        raise RecipeError(f"'{raw.id}' is no step name", place=place, cure="use a-z, 0-9, - and _")
    if raw.id in RESERVED:
        raise RecipeError(f"'{raw.id}' is a folder of the store", place=place, cure="rename the step")
    if raw.id in earlier:
        raise RecipeError(f"two steps are called '{raw.id}'", place=place, cure="rename one")
    try:
        kind = stage_class(raw.use)
    except RecipeError as error:
        raise RecipeError(error.cause, place=source.place((*where, "use")), cure=error.cure) from None
    from pydantic import ValidationError

    try:
        given = kind.model_validate(raw.with_)
        check_numbers(given, source, (*where, "with"), raw.use)
        stage = given.concrete()
    except ValidationError as error:
        raise explained(error, kind, source, (*where, "with"), raw.use) from None
    if raw.guard is not None and not isinstance(stage, Filter | Global):
        texts = [name for name in ("max_drop_text", "min_drop_text") if getattr(raw.guard, name) is not None]
        if texts:
            raise RecipeError(
                f"guard: {texts[0]} is for steps that documents pass, and {raw.use} is none",
                place=source.place((*where, "guard")),
                cure="use max_drop or min_drop, which count rows",
            )
    inputs = (raw.from_,) if isinstance(raw.from_, str) else tuple(raw.from_) if raw.from_ is not None else None
    for wanted in inputs or ():
        if wanted not in earlier:
            near = _near(wanted, earlier)
            raise RecipeError(f"there is no earlier step '{wanted}'", place=source.place((*where, "from")), cure=near)
    return Step(raw.id, stage, inputs, raw.guard, place, raw.about)


def _near(word: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"before it there are: {', '.join(known) or 'none'}"
