"""The cosine of static embeddings beside the words of a rephrased prompt."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curate.quality.rephrased_vectors import COEFFICIENTS, LOWEST, confirmed, passage_vectors
from curate.text.batch import Batch
from curate.text.rephrased import build, rephrased

pytest.importorskip("tokenizers")
pytest.importorskip("wordllama")

PROMPTS = [
    "Marta had 17 marbles and her cousin Ivo had 5 fewer. They lost a third of all of them in the canal. How many are left?",
    "Write a function that returns the greatest common divisor of two integers.",
]
PAGE = (
    "Things happen on the way to school. "
    "Ivo owned five marbles less than Marta, his cousin, who had 17 of them. In the canal a third of their marbles was lost. "
    "How many marbles do they still have? After that they went home."
)


@pytest.fixture(scope="module")
def vectors():
    return passage_vectors(PROMPTS)


def test_a_rephrasing_means_what_the_prompt_means(vectors):
    """A cosine near 1 for it, and 1 for the prompt; the score is that of the features and the cosine."""
    index = build(PROMPTS, [5, 9])
    docs = Batch.of(pa.array([PAGE, "no match here", PROMPTS[0]], pa.large_string()))
    found, cosine = confirmed(docs, rephrased(docs, index, LOWEST), vectors, -100.0)
    assert found.row.tolist() == [0, 2]
    assert found.item.tolist() == [5, 5]
    assert cosine[0] > 0.7
    assert cosine[1] == pytest.approx(1.0, abs=0.02)
    for k in (0, 1):
        total = sum(a * b for a, b in zip([*found.features[k].tolist(), float(cosine[k])], COEFFICIENTS, strict=False))
        assert found.score[k] == pytest.approx(total + COEFFICIENTS[-1], rel=1e-4)
    assert found.score.min() > 1.0


def test_only_what_is_sure_stays(vectors):
    """Matches below the least score go, with their cosines; of none there are none."""
    index = build(PROMPTS, [0, 1])
    docs = Batch.of(pa.array([PAGE], pa.large_string()))
    found, cosine = confirmed(docs, rephrased(docs, index, LOWEST), vectors, 100.0)
    assert len(found.row) == len(cosine) == len(found.features) == 0
    nothing = Batch.of(pa.array(["", "x"], pa.large_string()))
    assert len(confirmed(nothing, rephrased(nothing, index), vectors)[0].row) == 0


def test_vectors_are_of_passages():
    """A long prompt's last line has one of its own; each has length 1, or 0 without tokens."""
    long = (
        "It was a bright cold day in April. " * 12 + "\nWhich reform movement does the author of the letter criticise?"
    )
    found = passage_vectors([long, ""])
    assert found.shape == (3, 256)
    assert found.dtype == np.float16
    assert np.linalg.norm(found.astype(np.float32), axis=1).tolist() == pytest.approx([1.0, 1.0, 0.0], abs=0.01)
    assert passage_vectors([]).shape == (0, 256)
