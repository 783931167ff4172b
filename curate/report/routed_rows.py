"""What a run says of a small and a large model's answers to its queries, for those whose router is looked at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RecipeError
from curate.quality.routing import COLUMNS, Answers
from curate.report.inspect import end_of_segment
from curate.report.run_folder import RunFolder
from curate.stages.label_rows import Keys, keys_of


def answers_of_run(run: RunFolder, wanted: str, distinct: Keys, at: npt.NDArray[np.intp]) -> Answers:
    """By the ids of documents (a query's text is another one than its answer's had): of ``distinct``, sorted, those at ``at``.

    Raises RecipeError where ``wanted`` is no step that adds routing.COLUMNS.
    """
    able = [name for name, step in run.steps.items() if {*COLUMNS} <= {*step.added()}]
    if wanted not in able:
        raise RecipeError(
            f"no step '{wanted}' of the run says what a small and a large model answered",
            place=str(run.store),
            cure=f"name a route.answers step: {', '.join(able) or 'the run has none'}",
        )
    step = run.steps[wanted]
    full = [f"{step.id}.{name}" for name in COLUMNS]
    values = np.full((len(COLUMNS), len(distinct)), np.nan)
    for part in end_of_segment(run, step)[0].record.parts:
        for batch in run.visible(part, ["id", *full]) if len(distinct) else ():
            ids = keys_of(batch.column("id"), "id")
            place = np.minimum(np.searchsorted(distinct, ids), len(distinct) - 1)
            known = np.flatnonzero(distinct[place] == ids)
            for row, column in enumerate(full):
                found = pc.fill_null(batch.column(column).cast(pa.float64()), float("nan"))
                values[row, place[known]] = found.to_numpy(zero_copy_only=False)[known]
    return Answers.of(dict(zip(COLUMNS, values[:, at], strict=True)))
