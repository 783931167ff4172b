"""One order of samples whatever the ranks, and states that go on exactly there."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_shards import dataset, table

from curate.errors import DamagedInputError, RecipeError
from curate.load import Loader, TokenDataset

ROWS, SIZES = 103, [40, 0, 25, 38]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TokenDataset:
    return TokenDataset(dataset(tmp_path_factory.mktemp("data"), table(ROWS, full=True), SIZES))


def ids(batches: Any) -> list[list[int]]:
    """Tokens of batches, sequence by sequence."""
    return [row for batch in batches for row in batch["input_ids"].tolist()]


@pytest.mark.parametrize("shuffle", [True, False, "shards"])
@pytest.mark.parametrize("prefetch", [0, 3])
def test_resume_at_other_world_sizes_gives_the_same_tokens(data: TokenDataset, shuffle: Any, prefetch: int) -> None:
    """1, 2, 4 and 3 ranks, stopped in the middle of epochs: token by token the run that was never stopped."""
    whole = Loader(data, batch=12, seed=5, shuffle=shuffle)
    wanted = ids(islice(whole, 30))
    assert len(wanted) == 360 > 3 * ROWS
    found, state = [], None
    for world, steps in ((1, 4), (2, 9), (4, 10), (3, 7)):
        ranks = [
            Loader(data, batch=12, seed=5, rank=r, world=world, shuffle=shuffle, prefetch=prefetch)
            for r in range(world)
        ]
        for loader in ranks:
            if state:
                loader.load_state_dict(json.loads(json.dumps(state)))
        for _ in range(steps):
            found += ids(next(loader) for loader in ranks)
        states = [loader.state_dict() for loader in ranks]
        assert all(s == states[0] for s in states)
        state = states[0]
    assert found == wanted
    assert state == whole.state_dict()
    assert len(json.dumps(state)) < 120


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 6]), st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=5)
)
@settings(max_examples=15)
def test_the_stream_is_one_whatever_reads_it(data: TokenDataset, stops: list[tuple[int, int, int]]) -> None:
    """Any sequence of worlds, batches and stops: the samples of the stream, each once, in its order."""
    samples, found = 0, []
    for world, share, steps in stops:
        ranks = [Loader(data, batch=world * share, seed=9, rank=r, world=world) for r in range(world)]
        for loader in ranks:
            loader.load_state_dict({**loader.state_dict(), "samples": samples})
        for _ in range(steps):
            found += ids(next(loader) for loader in ranks)
        samples = ranks[0].samples
    order = Loader(data, batch=1, seed=9).order
    assert found == data[order.rows(np.arange(samples))]["input_ids"].tolist()


def test_epochs(data: TokenDataset) -> None:
    """Every sample once in each; batches go on over the end of an epoch; less than a batch at the very end is left out."""
    rows = ids(Loader(data, batch=12, epochs=3, seed=1))
    assert len(rows) == 3 * ROWS // 12 * 12
    names = [row[0] for row in rows]
    assert sorted(names[:ROWS]) == sorted(names[ROWS : 2 * ROWS]) == list(range(ROWS))
    assert names[:ROWS] != names[ROWS : 2 * ROWS]
    assert len(set(names[2 * ROWS :])) == 300 - 2 * ROWS
    assert list(Loader(data, batch=500, epochs=2)) == []
    assert len(ids(islice(Loader(data, batch=250, seed=1), 1))) == 250
    last = Loader(data, batch=ROWS, epochs=1, prefetch=2)
    assert len(list(last)) == 1
    assert list(last) == []


def test_seeds_and_columns(data: TokenDataset) -> None:
    """Another seed is another order; only what is asked for is read."""
    one, two = (ids(islice(Loader(data, batch=10, seed=s), 3)) for s in (1, 2))
    assert one != two
    batch = next(Loader(data, batch=10, columns=["loss_mask", "input_ids"]))
    assert list(batch) == ["loss_mask", "input_ids"]
    loader = Loader(data, batch=10)
    assert (loader.sequence, loader.vocab_size, loader.end_of_text, loader.padding) == (8, 65_003, 65_001, 65_002)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"batch": 512, "world": 6},
            "a global batch of 512 can't be divided among 6 ranks; use batch=510 or 516, or 4 ranks",
        ),
        ({"batch": 4, "world": 6}, "can't be divided among 6 ranks; use batch=6, or 4 ranks"),
        ({"batch": 5, "world": 3}, "use batch=3 or 6, or 1 rank: the order of samples stays the same"),
        ({"batch": 12, "world": 3, "rank": 3}, "rank 3 of 3; ranks are 0 to 2"),
        ({"batch": 0}, "a batch of 0 for 1 ranks; both are at least 1"),
        ({"batch": 2, "shuffle": "blocks"}, "no shuffle 'blocks'; use True, False, 'all' or 'shards'"),
        ({"batch": 2, "columns": ["labels"]}, "no column 'labels'"),
    ],
)
def test_bad_settings_are_refused(data: TokenDataset, given: dict[str, Any], message: str) -> None:
    """In one line, with what would do."""
    with pytest.raises(RecipeError, match=message):
        Loader(data, **given)


def test_a_curriculum_is_read_as_it_is_stored(tmp_path: Path) -> None:
    """Its phases are an order; to mix them has to be asked for by name."""
    folder = dataset(tmp_path, table(20), [20])
    said = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").write_text(json.dumps({**said, "curriculum": True}))
    for shuffle in (True, "shards"):
        with pytest.raises(RecipeError, match="mixes the phases of a curriculum; use shuffle=False, or shuffle='all'"):
            Loader(folder, batch=5, shuffle=shuffle)
    assert [row[0] for row in ids(Loader(folder, batch=5, shuffle=False, epochs=1))] == list(range(20))
    assert len(ids(Loader(folder, batch=5, shuffle="all", epochs=1))) == 20


def test_states_of_other_streams_are_refused(data: TokenDataset, tmp_path: Path) -> None:
    """Of another dataset, seed or order, and what is none at all; the loader stays where it was."""
    loader = Loader(data, batch=12, seed=5)
    next(loader)
    state = loader.state_dict()
    other = Loader(dataset(tmp_path, table(ROWS, seed=3), SIZES), batch=12, seed=5).state_dict()
    for wrong, message in (
        (other, "the state is of another dataset: .* open the dataset that it was taken of"),
        ({**state, "seed": 6}, "the state is of another seed: 6, and not 5; make the loader with seed=6"),
        (
            {**state, "order": "stored"},
            "the state is of another order: stored, and not all; make the loader with the shuffle",
        ),
        ({**state, "samples": -1}, "not the state of a loader: -1 is no number of samples"),
        ({"epoch": 3}, "not the state of a loader: it has no 'samples'; give what state_dict"),
    ):
        with pytest.raises(RecipeError, match=message):
            loader.load_state_dict(wrong)
    assert loader.state_dict() == state


def test_what_a_thread_meets_is_raised_where_the_batch_is_wanted(tmp_path: Path) -> None:
    """And not swallowed by it; when it is mended, the stream goes on with that very batch."""
    folder = dataset(tmp_path, table(20), [10, 10])
    loader = Loader(folder, batch=5, shuffle=False, prefetch=2)
    there, away = folder / "data-00001-of-00002.arrow", folder / "away"
    there.rename(away)
    found = ids(islice(loader, 2))
    for _ in range(2):
        with pytest.raises(DamagedInputError, match="the shard is not there"):
            next(loader)
    away.rename(there)
    assert found + ids(islice(loader, 2)) == table(20)["input_ids"].to_pylist()
