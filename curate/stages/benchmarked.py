"""What stages have in common that hold texts against benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from curate import assets
from curate.stages.base import Context, Stage

if TYPE_CHECKING:
    from curate.benchmarks.index import Loaded
    from curate.benchmarks.registry import Benchmark


class Benchmarked(Stage):
    """Settings that name benchmarks, and their index, which a process loads once, from a path that all of them see."""

    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"against": "indexes"}
    place_settings: ClassVar[frozenset[str]] = frozenset({"registry"})

    against: list[str] = Field(
        min_length=1,
        description="what to look for: names of benchmarks in the registry, indexes that 'curate benchmarks build' made, files "
        "of items (JSON lines, Parquet), registries of your own (YAML)",
    )
    registry: str = Field("benchmarks", description="folder or file with the registry; the one in data/ by default")

    @field_validator("against")
    @classmethod
    def _named_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("a benchmark is named twice")
        return names

    def folders(self, base: Path | None = None) -> list[Path]:
        """Indexes of ``against``, in order; those that are not there are made. ``base``: where the recipe is."""
        from curate.benchmarks.against import index_of

        registry = self.registry_at(base)
        return [index_of(name, registry, base, embeddings=self.embeds()).absolute() for name in self.against]

    def registry_at(self, base: Path | None = None) -> Path:
        """Where the registry is."""
        local = assets.locate(self.registry, base)
        return local if "/" in self.registry or local.is_file() else assets.find("data", self.registry)

    def known(self, base: Path | None = None, more: Sequence[str] = ()) -> dict[str, Benchmark]:
        """Benchmarks whose texts may be on this machine, by key: of the registry, of files in ``against``, and of ``more``."""
        from curate.benchmarks.against import named
        from curate.benchmarks.registry import load_registry, shipped

        # Where it is beside the recipe, this machine need not have it: `more` may.
        local = self.registry_at(base)
        registry = local if local.exists() else shipped()
        files = [name for name in self.against if Path(name).suffix and assets.locate(name, base).is_file()]
        given = [named(name, registry, base) for name in (*files, *more)]
        return load_registry(registry) | {one.key: one for some in given for one in some.benchmarks}

    def embeds(self) -> bool:
        """Whether it needs static embeddings of prompts, too."""
        return False

    def loaded(self, ctx: Context) -> Loaded:
        """The indexes as one."""
        from curate.benchmarks.index import load

        if "against/0" not in ctx.assets:
            return load(self.folders())
        return load([self._here(name, ctx.assets[f"against/{i}"]) for i, name in enumerate(self.against)])

    def _here(self, name: str, folder: Path) -> Path:
        """A folder that the plan found; on a machine that does not see the planner's cache, the same index made anew."""
        from curate.benchmarks.against import index_of
        from curate.benchmarks.index import open_benchmarks

        if not folder.is_dir() and "/" not in self.registry and name.isidentifier():
            made = index_of(name, assets.find("data", self.registry), embeddings=self.embeds())
            if made.name == folder.name:
                return made
        open_benchmarks(folder)
        return folder
