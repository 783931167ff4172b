"""A document that was trained on is scored by a model that has not seen it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_cases import batch

from curate.errors import InputError
from curate.quality.cross_fit import CrossFitted, Folds
from curate.quality.folder import FOLDS_FILE
from curate.text.batch import Batch

# Few values a half, so that contents agree in the first half, in the second, or in both.
HALF = st.integers(0, 3).map(lambda n: n.to_bytes(8, "little"))
CONTENT = st.tuples(HALF, HALF).map(b"".join)


def contents(values):
    return pa.array(values, pa.binary(16))


@given(st.dictionaries(CONTENT, st.integers(-1, 5), max_size=16), st.lists(CONTENT, max_size=20))
def test_the_table_is_a_dictionary(known, asked):
    """Exactly the contents that are in a fold are found, with all sixteen bytes."""
    table = Folds.of(contents(list(known)), np.array(list(known.values()), np.int8))
    assert table.look_up(contents(asked)).tolist() == [known.get(one, -1) for one in asked]
    assert table.look_up(contents([*asked, b"x" * 16])[1:]).tolist() == [known.get(a, -1) for a in [*asked, b""][1:]]


def test_the_table_is_the_same_file_for_the_same_folds(tmp_path):
    """Order of the rows does not matter; what is read is what was written."""
    rng = np.random.default_rng(1)
    values = [rng.bytes(16) for _ in range(100)]
    fold = rng.integers(-1, 4, 100).astype(np.int8)
    order = rng.permutation(100)
    for name, some in (("a", np.arange(100)), ("b", order)):
        (tmp_path / name).mkdir()
        Folds.of(contents([values[i] for i in some]), fold[some]).write(tmp_path / name)
    assert (tmp_path / "a" / FOLDS_FILE).read_bytes() == (tmp_path / "b" / FOLDS_FILE).read_bytes()
    assert Folds.read(tmp_path / "a").look_up(contents(values)).tolist() == fold.tolist()


def test_damaged_tables_are_refused(tmp_path):
    """Truncated, something else, arrays of other shapes, objects: one line each."""
    path = tmp_path / FOLDS_FILE
    Folds.of(contents([b"x" * 16]), np.zeros(1, np.int8)).write(tmp_path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:40], whole[:-30], b"not a table of folds at all"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"not a table of folds|not a file of arrays|no plain array"):
            Folds.read(tmp_path)
    good = {"contents": np.zeros((2, 2), np.uint64), "fold": np.zeros(2, np.int8)}
    for other in ({"fold": np.zeros(3, np.int8)}, {"fold": np.array([0, -1], np.int8)}, {"contents": np.zeros((2, 2))},
                  {"fold": np.array([None, {}], object)}):  # fmt: skip
        np.savez(path, **{**good, **other})
        with pytest.raises(InputError, match=r"not a table of folds|not a file of arrays|no plain array"):
            Folds.read(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"not a table of folds|not a file of arrays|no plain array"):
        Folds.read(tmp_path)


class Constant:
    """Scores everything alike, and counts."""

    def __init__(self, value):
        self.value, self.rows = value, 0

    def score(self, docs):
        self.rows += len(docs)
        return np.full(len(docs), self.value, np.float32)


def test_each_document_goes_to_the_model_that_has_not_seen_it():
    """By content; what no fold knows goes to the model of all, as does a batch without content hashes."""
    docs = batch([f"text {i}" for i in range(6)], ["s"] * 6)
    table = Folds.of(docs.column("content_hash")[:4], np.array([0, 1, -1, 1], np.int8))
    models = [Constant(0.9), Constant(0.0), Constant(0.1)]
    fitted = CrossFitted(models[0], models[1:], table)
    expected = np.array([0.0, 0.1, 0.9, 0.1, 0.9, 0.9], np.float32)
    assert (fitted.score(docs) == expected).all()
    assert [m.rows for m in models] == [3, 1, 2]
    assert (fitted.score(docs.filter(pa.array([False] * 4 + [True] * 2))) == expected[4:]).all()
    assert (fitted.score(Batch.of(docs.text)) == np.float32(0.9)).all()
    assert fitted.score(docs.filter(pa.array([False] * 6))).shape == (0,)
