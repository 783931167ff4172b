"""label.contrast: labels by source."""

import pytest
from learning_cases import batch, context
from pydantic import ValidationError

from curate.errors import RecipeError
from curate.stages.label_contrast import LabelContrast


def test_sources_become_labels_and_the_rest_is_unlabelled():
    """Positive is 1, negative is 0, patterns count; other sources are dropped."""
    stage = LabelContrast(positive=["books", "text*"], negative=["web"])
    docs = batch(["a"] * 5, ["web", "textbooks", "forum", "books", "Web"])
    signals = stage.measure(docs, context())
    assert signals["label"].to_pylist() == [0, 1, None, 1, None]
    assert signals["label"].type == stage.adds()["label"]
    assert stage.decide(signals).to_pylist() == [None, None, "unlabelled", None, "unlabelled"]
    assert len(stage.decide(stage.measure(batch([], []), context()))) == 0
    stays = stage.model_copy(update={"only_labelled": False})
    assert stays.measure_fingerprint() == stage.measure_fingerprint()
    assert stays.decide(signals).null_count == len(docs)


@pytest.mark.parametrize("negative", [["a"], ["a*"], ["*"]])
def test_a_source_on_both_sides_is_refused(negative):
    """A name that is in both lists, or matches a pattern of the other list, is no valid setting."""
    with pytest.raises(ValidationError, match="'a' is in positive and in negative"):
        LabelContrast(positive=["a", "b"], negative=negative)


def test_patterns_that_meet_at_a_source_stop_the_run():
    """What two patterns share shows only with the rows: the source is named."""
    stage = LabelContrast(positive=["a*"], negative=["*z"])
    with pytest.raises(RecipeError, match="'abcz'"):
        stage.measure(batch(["x"], ["abcz"]), context())
