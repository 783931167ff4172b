"""Why two datasets differ: their manifests compared field by field, step by step, and where there are runs, row by row.

What is compared is what each says of itself: a run's manifest, or the part of it that a dataset carries. A step that
differs does so for a reason of its own (a setting, an asset, an input, the seed, other answers of a model), or because one
above it does; the first reason of its own is the first cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from curate.report.step import stage_of
from curate.stages.generator import Generator
from curate.stages.source import Source

_HEAD: Final = ("recipe", "about", "dataset", "curate", "seed", "options", "budget", "takedown", "models", "versions")
"""Fields of a manifest that are about all of it."""
_NAMES_ONLY: Final = ("recipe", "about", "dataset")
"""Of these, what bears on no row."""
OUTPUT: Final = "(output)"
"""The change of a step that made another thing of the same settings and inputs; unlike any setting's name."""
REVISION: Final = "(revision)"
"""That of a step of whose fingerprint nothing else tells why it differs."""
_COUNTS: Final = ("rows_in", "rows_out", "bytes_out")


@dataclass(frozen=True)
class Change:
    """A field with its two values; None where a side has no such field."""

    name: str
    before: Any
    after: Any


@dataclass
class StepDiff:
    """How one step differs.

    Attributes:
        state: ``added``, ``removed``, ``changed`` (for a reason of its own), ``follows`` (from steps above), ``same``.
        use: its stage.
        changes: reasons of its own.
        inputs: files that a source read: added, removed, changed.
        follows: steps above whose difference it follows.
        counts: rows and bytes that differ.
        reasons: by reason, how many rows went before and after, where that differs.
        shards: whether its final files have the same bytes; None where it writes none.
    """

    id: str
    use: str
    state: str
    changes: list[Change] = field(default_factory=list)
    inputs: dict[str, list[str]] = field(default_factory=dict)
    follows: list[str] = field(default_factory=list)
    counts: list[Change] = field(default_factory=list)
    reasons: list[Change] = field(default_factory=list)
    shards: bool | None = None

    @property
    def differs(self) -> bool:
        """Whether there is anything to say."""
        return self.state != "same" or bool(self.counts or self.reasons) or self.shards is False


@dataclass
class Diff:
    """All of it.

    Attributes:
        head: fields about the whole.
        steps: all steps, A's order with B's additions in their places.
        cause: the first step that differs for a reason of its own.
    """

    head: list[Change]
    steps: list[StepDiff]
    cause: str | None

    @property
    def same_meaning(self) -> bool:
        """Whether nothing differs but names."""
        return not any(s.differs for s in self.steps) and all(c.name in _NAMES_ONLY for c in self.head)

    @property
    def same(self) -> bool:
        """Whether nothing differs at all."""
        return not self.head and not any(s.differs for s in self.steps)


def diff_manifests(a: Mapping[str, Any], b: Mapping[str, Any]) -> Diff:
    """Compare two manifests (``manifest.json`` or ``provenance.json``), A as what was before."""
    # An older manifest lacks what it would have nothing to say of.
    head = [c for name in _HEAD for c in _changes(name, _stated(a, name), _stated(b, name))]
    mine, other = ({s["id"]: s for s in m["steps"]} for m in (a, b))
    found: dict[str, StepDiff] = {}
    for name in _order(list(mine), list(other)):
        if name not in other:
            found[name] = StepDiff(name, mine[name]["use"], "removed")
        elif name not in mine:
            found[name] = StepDiff(name, other[name]["use"], "added")
        else:
            found[name] = _step(mine[name], other[name], found)
            _read(found[name], a, b, head)
        if found[name].changes or found[name].inputs:
            found[name].state = "changed"
    cause = next((s.id for s in found.values() if s.state not in ("same", "follows")), None)
    return Diff(head, list(found.values()), cause)


def _stated(manifest: Mapping[str, Any], name: str) -> Any:
    value = manifest.get(name)
    return None if value in ({}, "") else value


def _order(a: list[str], b: list[str]) -> list[str]:
    """Names of both, in an order that keeps B's, with A's own before what followed them in A."""
    result = list(b)
    for place, name in enumerate(a):
        if name not in result:
            after = next((n for n in reversed(a[:place]) if n in result), None)
            result.insert(result.index(after) + 1 if after is not None else 0, name)
    return result


def _step(a: Mapping[str, Any], b: Mapping[str, Any], above: Mapping[str, StepDiff]) -> StepDiff:
    found = StepDiff(b["id"], b["use"], "same")
    # Not a guard: it stops a run, and changes no row of one that came through.
    for name in ("use", "plugin", "settings", "from", "uses", "assets"):
        found.changes += _changes(name, a.get(name), b.get(name))
    needs = [*b["from"], *b["uses"].values()]
    found.follows = [name for name in dict.fromkeys(needs) if name in above and above[name].state != "same"]
    if a["fingerprint"] != b["fingerprint"] or found.follows:
        found.state = "follows"
    if a.get("output") != b.get("output") and found.state == "same" and not found.changes:
        found.changes.append(Change(OUTPUT, a.get("output"), b.get("output")))
    found.counts = [c for name in _COUNTS for c in _changes(name, a[name], b[name])]
    reasons = {**a["reasons"], **b["reasons"]}
    pairs = [(name, a["reasons"].get(name, 0), b["reasons"].get(name, 0)) for name in sorted(reasons)]
    found.reasons = [Change(*pair) for pair in pairs if pair[1] != pair[2]]
    if a["shards"] or b["shards"]:
        found.shards = [s["sha256"] for s in a["shards"]] == [s["sha256"] for s in b["shards"]]
    return found


def _read(found: StepDiff, a: Mapping[str, Any], b: Mapping[str, Any], head: list[Change]) -> None:
    """What a step reads that no step above gives: files, options, a removal list, the seed, a model."""
    was, now = ({f["name"]: f["digest"] for f in m["inputs"].get(found.id, [])} for m in (a, b))
    files = {
        "added": [n for n in now if n not in was],
        "removed": [n for n in was if n not in now],
        "changed": [n for n in now if n in was and was[n] != now[n]],
    }
    found.inputs = {kind: sorted(names) for kind, names in files.items() if names}
    if found.state == "same" or found.follows or found.changes or found.inputs:
        return
    # Its fingerprint differs, and nothing of its own or above does: what is said of the whole tells why.
    kind = stage_of(found.use)
    wanted = {"seed"} if kind is None or kind.seeded else set()
    if kind is None or issubclass(kind, Source):
        wanted |= {"options", "takedown"}
    if kind is None or issubclass(kind, Generator):
        wanted |= {"models"}
    found.changes = [c for c in head if c.name.partition(".")[0] in wanted]
    if not found.changes:
        newer = [c for c in head if c.name.partition(".")[0] == "curate"]
        found.changes = newer or [Change(REVISION, None, None)]


def _changes(name: str, a: Any, b: Any) -> Iterator[Change]:
    """Differences of two values; of mappings member by member, with dotted names."""
    if a == b:
        return
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            inner = key if name in ("settings", "assets") else f"{name}.{key}"
            if name == "assets":
                inner = f"{key} (content)"
            yield from _changes(inner, a.get(key), b.get(key))
        return
    yield Change(name, a, b)
