"""The manifest: what a run's results were made of and why, the same bytes whenever the meaning is the same.

Nothing of how it was done stands in it: times, hosts, workers, retries and paths go to run.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import curate
from curate.recipe.plan import Options
from curate.run.engine import Engine
from curate.run.versions import library_versions
from curate.stages.base import Filter
from curate.stages.plugins import plugin_of
from curate.stages.source import Source
from curate.store.files import crash_point, encode_json
from curate.store.records import StepRecord


def manifest(engine: Engine) -> dict[str, Any]:
    """The manifest of a finished run, as plain values."""
    recipe = engine.plan.recipe
    options = {k: v for k, v in vars(engine.plan.options).items() if v != getattr(Options, k)}
    return {
        "manifest": 1,
        "recipe": recipe.name,
        "about": recipe.about,
        "seed": recipe.seed,
        "options": options,
        "curate": curate.__version__,
        "versions": library_versions(),
        "models": {n: {"model": m.model, "licence": m.licence} for n, m in sorted(recipe.models.items())},
        "inputs": dict(sorted(engine.inputs.items())),
        "steps": [_step(engine, record) for record in engine.records.values()],
    }


def _step(engine: Engine, record: StepRecord) -> dict[str, Any]:
    planned = engine.plan.steps[record.step]
    exclude = {"paths", "path"} if isinstance(planned.stage, Source) else set()
    settings = planned.stage.model_dump(mode="json", exclude=exclude)
    # An asset may have been named by an absolute path: the manifest is the same wherever it lies.
    settings |= {s: Path(settings[s]).name for s in planned.assets if Path(settings[s]).is_absolute()}
    counts = {k: v for k, v in vars(record.counts).items() if k != "measured"}
    if not (isinstance(planned.stage, Filter) and planned.stage.edits()):
        del counts["edited"], counts["removed"]
    if not counts["kept_by"]:
        del counts["kept_by"]
    plugin = plugin_of(planned.stage)
    return {
        "id": record.step,
        "use": record.use,
        **({"plugin": {"name": plugin.name, "version": plugin.version, "digest": plugin.digest}} if plugin else {}),
        "settings": settings,
        "from": list(planned.inputs),
        "uses": planned.uses,
        "assets": planned.digests,
        "fingerprint": record.fingerprint,
        **counts,
        "reasons": dict(sorted(record.counts.reasons.items())),
        "report": record.report,
        "shards": record.shards,
    }


def write_manifest(engine: Engine) -> dict[str, Any]:
    """Write ``manifest.json`` as a whole; returns it."""
    value = manifest(engine)
    engine.check_lease()
    crash_point("publish.before-manifest")
    engine.store.replace("manifest.json", encode_json(value))
    crash_point("publish.after-manifest")
    return value
