"""What filters need is loaded once a worker process, before it measures its first row."""

from __future__ import annotations

from curate.run.row_step import RowStep, needed
from curate.run.task import at_step
from curate.stages.base import Signals
from curate.text.batch import Batch

_warm: set[str] = set()


def warm(step: RowStep) -> None:
    """Load the kernels, models and indexes of a step that this process has not measured with yet."""
    if step.measure not in _warm:
        step.stage.warm(step.ctx)
        _warm.add(step.measure)


def measure(step: RowStep, docs: Batch) -> Signals:
    """What a step measures of some rows, after it has loaded what it needs."""
    warm(step)
    with at_step(step.ctx.step):
        return step.stage.measure(needed(docs, step), step.ctx)
