"""The manifest: what a run's results were made of and why, the same bytes whenever the meaning is the same.

It is the recipe as plain data (every step with all its settings, what it reads and uses, its guard; models, budget,
seed) beside what came of it: inputs and assets with their digests, versions, counts by reason, and every shard. Nothing of
how it was done stands in it: times, hosts, workers, retries, paths and endpoints go to run.json or nowhere.

Each dataset's folder holds the part of it that the dataset was made of, so that a copy still names its origin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import curate
from curate.fingerprint import fingerprint
from curate.recipe.plan import Options
from curate.run.engine import Engine
from curate.run.versions import library_versions
from curate.stages.cuts_spans import edits
from curate.stages.plugins import plugin_of
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.source import Source
from curate.stages.writer import Writer
from curate.store.files import crash_point, encode_json
from curate.store.provenance import PROVENANCE, of_dataset
from curate.store.records import StepRecord

NAME: Final = "manifest.json"
_ASKED: Final = ("id", "use", "plugin", "settings", "from", "uses", "assets", "guard")
"""What a step's entry says of the recipe; the rest is what came of it."""


def manifest(engine: Engine) -> dict[str, Any]:
    """The manifest of a finished run, as plain values."""
    recipe = engine.plan.recipe
    options = {k: v for k, v in vars(engine.plan.options).items() if v != getattr(Options, k)}
    budget = {k: v for k, v in recipe.budget.model_dump(mode="json").items() if v is not None}
    models = {n: {"model": m.model, "licence": m.licence} for n, m in sorted(recipe.models.items())}
    steps = [_step(engine, record) for record in engine.records.values()]
    taken = engine.plan.removals.digest if engine.plan.removals is not None else None
    asked = [{k: step[k] for k in _ASKED if k in step} for step in steps]
    return {
        "manifest": 1,
        "recipe": recipe.name,
        # Of its meaning: neither comments nor places (inputs, endpoints) bear on it.
        "recipe_digest": fingerprint(recipe.seed, models, budget, asked, taken),
        "about": recipe.about,
        "seed": recipe.seed,
        "options": options,
        "curate": curate.__version__,
        "versions": library_versions(),
        "models": models,
        "budget": budget,
        **({"use": recipe.use, "allow_terms": list(recipe.allow_terms)} if recipe.use is not None else {}),
        **({"takedown": _takedown(engine)} if taken is not None else {}),
        "inputs": dict(sorted(engine.inputs.items())),
        "steps": steps,
    }


def _takedown(engine: Engine) -> dict[str, Any]:
    """Of the removal lists the digest of what they say, how many entries that are, and how many documents they name."""
    assert engine.plan.removals is not None
    entries = engine.plan.removals.entries()
    gone = sum(record.counts.reasons.get(TAKEDOWN, 0) for record in engine.records.values())
    return {"digest": engine.plan.removals.digest, "entries": len(entries), "documents": gone}


def _step(engine: Engine, record: StepRecord) -> dict[str, Any]:
    planned = engine.plan.steps[record.step]
    exclude = {"paths", "path"} if isinstance(planned.stage, Source) else set()
    settings = planned.stage.model_dump(mode="json", exclude=exclude)
    # An asset may have been named by an absolute path: the manifest is the same wherever it lies.
    settings |= {name: _placeless(settings[name]) for name in planned.places}
    counts = {k: v for k, v in vars(record.counts).items() if k not in ("measured", "fields")}
    if not edits(planned.stage):
        del counts["edited"], counts["removed"]
    if not counts["kept_by"]:
        del counts["kept_by"]
    plugin = plugin_of(planned.stage)
    guard = planned.step.guard.model_dump(mode="json", exclude_none=True) if planned.step.guard else None
    return {
        "id": record.step,
        "use": record.use,
        **({"plugin": {"name": plugin.name, "version": plugin.version, "digest": plugin.digest}} if plugin else {}),
        "settings": settings,
        **({"guard": guard} if guard else {}),
        "from": list(planned.inputs),
        "uses": planned.uses,
        "assets": planned.digests,
        "fingerprint": record.fingerprint,
        # What later steps build on, where it is not the fingerprint: which model was trained, which answers came.
        **({"output": record.identity} if record.identity != record.fingerprint else {}),
        **counts,
        "reasons": dict(sorted(record.counts.reasons.items())),
        **({"fields": dict(sorted(record.counts.fields.items()))} if record.counts.fields else {}),
        "report": record.report,
        "shards": record.shards,
    }


def _placeless(given: str | list[str]) -> str | list[str]:
    if isinstance(given, list):
        return [str(_placeless(each)) for each in given]
    return Path(given).name if "://" in given or Path(given).is_absolute() else given


def write_manifest(engine: Engine) -> dict[str, Any]:
    """Write ``manifest.json``, and the part of each dataset into its folder; returns the whole."""
    value = manifest(engine)
    engine.check_lease()
    crash_point("publish.before-manifest")
    for record in engine.records.values():
        if isinstance(engine.plan.steps[record.step].stage, Writer):
            # A view of the run, as the manifest is one, and no part of the commit: a later run may reuse the shards
            # under another name or with inputs that do not bear on them.
            engine.store.replace(f"{record.folder}/{PROVENANCE}", encode_json(of_dataset(value, record.step)))
            # What a killed attempt left half written: a dataset's folder is looked at by everybody.
            for entry in list(engine.store.list(str(record.folder))):
                if entry.key.rpartition("/")[2].startswith(f".{PROVENANCE}."):
                    engine.store.remove(entry.key)
    engine.store.replace(NAME, encode_json(value))
    crash_point("publish.after-manifest")
    return value
