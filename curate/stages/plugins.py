"""Stages of other distributions: loaded when a recipe, or the command line, names the distribution, and never else.

A plugin is an installed distribution that declares entry points of group ``curate.stages``: a stage's name, and the class
in it that ``@register`` knows by that name. What is installed beside curate is not imported, however it is declared: a
plugin runs with all the rights of whoever starts a run, on every worker.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Final

from curate.errors import RecipeError, VersionError
from curate.fingerprint import fingerprint, tree_digest
from curate.stages import load_all
from curate.stages.base import Stage
from curate.stages.registry import register, registered, remove
from curate.startup import with_pandas

GROUP: Final = "curate.stages"
"""The group of entry points that a plugin declares."""


@dataclass(frozen=True)
class Plugin:
    """A distribution whose stages were loaded.

    Attributes:
        name, version: the distribution's.
        digest: of the files of the packages that its stages lie in, 32 hex digits.
        stages: their names, sorted.
    """

    name: str
    version: str
    digest: str
    stages: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


_loaded: dict[str, Plugin] = {}


def load_plugin(name: str) -> Plugin:
    """Import the stages of an installed distribution; once a process.

    Raises RecipeError, with what is wrong: it is not installed, has no stages, fails to import, or has a stage whose name
    is taken or is no stage.
    """
    try:
        found = distribution(name)
    except (PackageNotFoundError, ValueError):
        raise RecipeError(
            f"plugin '{name}' is not installed", cure="install it where curate is, and on every worker"
        ) from None
    if (known := _loaded.get(_name(found))) is not None:
        return known
    points = sorted(found.entry_points.select(group=GROUP), key=lambda point: point.name)
    if not points:
        raise RecipeError(f"'{name}' is no plugin", cure=f"a plugin declares entry points of group '{GROUP}'")
    load_all()
    # Its rows may be pandas'.
    with_pandas()
    _check_names(name, points)
    before = set(registered())
    try:
        for point in points:
            _load(point, found)
        _check_registered(name, points, before)
    except BaseException:
        for stage in set(registered()) - before:
            remove(stage)
        raise
    plugin = Plugin(_name(found), found.version, _digest(points), tuple(point.name for point in points))
    _loaded[plugin.name] = plugin
    return plugin


def _check_names(name: str, points: Sequence[EntryPoint]) -> None:
    for point in points:
        if point.name in registered():
            owner = registered()[point.name].plugin
            whose = f"plugin '{owner}' has, too" if owner else "is curate's own"
            raise RecipeError(
                f"plugin '{name}' has a stage '{point.name}', which {whose}", cure="use one of them, or rename it"
            )


def _check_registered(name: str, points: Sequence[EntryPoint], before: set[str]) -> None:
    more = sorted(set(registered()) - before - {point.name for point in points})
    if more:
        raise RecipeError(f"plugin '{name}' registers '{more[0]}' without declaring it", cure="ask its author")


def _name(found: Distribution) -> str:
    return str(found.metadata["Name"])


def _load(point: EntryPoint, found: Distribution) -> None:
    where = f"plugin '{_name(found)}'"
    try:
        stage = point.load()
    # Code of somebody else: whatever it raises while it is imported, an exit included, is one line to whoever named it.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RecipeError(
            f"{where} can't be loaded: {why}", place=point.value, cure="mend or reinstall it, or leave it out"
        ) from None
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        raise RecipeError(f"{where}: '{point.name}' is no stage", place=point.value, cure="ask its author")
    if not stage.name:
        register(point.name)(stage)
    if stage.name != point.name:
        raise RecipeError(
            f"{where}: '{point.name}' is registered as '{stage.name}'", place=point.value, cure="ask its author"
        )
    stage.plugin = _name(found)


def _digest(points: Sequence[EntryPoint]) -> str:
    """Of all files of the packages (or modules) that hold the stages: also of an editable install, which lists none."""
    tops = sorted({point.module.partition(".")[0] for point in points})
    digests = []
    for top in tops:
        spec = importlib.util.find_spec(top)
        places = list(spec.submodule_search_locations or []) if spec else []
        files = places or ([spec.origin] if spec and spec.origin else [])
        digests += [tree_digest(Path(file)) for file in files if Path(file).exists()]
    return fingerprint(tops, digests)


def plugin_of(stage: type[Stage] | Stage) -> Plugin | None:
    """The plugin that a stage comes from; None for curate's own."""
    return _loaded.get(stage.plugin)


def offered_by(stage: str) -> list[str]:
    """Names of installed distributions that declare a stage of that name, sorted; nothing of them is imported."""
    return sorted({point.dist.name for point in entry_points(group=GROUP, name=stage) if point.dist is not None})


def load_same(wanted: Iterable[Plugin]) -> None:
    """Load plugins in a worker; raises VersionError where it has another version, or other files, than the driver."""
    for plugin in wanted:
        here = load_plugin(plugin.name)
        if (here.version, here.digest) != (plugin.version, plugin.digest):
            raise VersionError(
                f"plugin '{plugin.name}' is {here.version} ({here.digest[:8]}) on a worker,"
                f" and {plugin.version} ({plugin.digest[:8]}) where the run was started",
                cure="install the same on all machines",
            )
