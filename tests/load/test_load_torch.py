"""Tensors: what a model is to predict, where documents begin, workers, and states that fit any number of them."""

from __future__ import annotations

import multiprocessing
import pickle
import time
import weakref
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from token_shards import PADDING, dataset, pieces, table

from curate.errors import InputError, RecipeError
from curate.load import Loader, TokenDataset

torch = pytest.importorskip("torch", reason="torch is not installed: make torch")

from curate.load.torch import IGNORED, Batches, TensorLoader  # noqa: E402

ROWS = 50
pytestmark = [
    pytest.mark.filterwarnings("ignore:.set_vital. is deprecated"),  # torch 2.13 calls it itself
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # more workers than this machine has cores
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TokenDataset:
    return TokenDataset(dataset(tmp_path_factory.mktemp("data"), table(ROWS, full=True), [30, 20]))


def ids(batches: Any) -> list[list[int]]:
    return [row for batch in batches for row in batch["input_ids"].tolist()]


def wanted(data: TokenDataset, batches: int) -> list[list[int]]:
    """What the loader without torch gives."""
    return ids(islice(Loader(data, batch=6, seed=2), batches))


def test_batches(data: TokenDataset) -> None:
    """Columns, dtypes and labels, against rows read one by one."""
    loader, plain = TensorLoader(data, batch=6, seed=2), Loader(data, batch=6, seed=2)
    batch, rows = next(loader), next(plain)
    assert sorted(batch) == ["cu_seqlens", "input_ids", "labels", "loss_mask", "max_seqlen", "position_ids", "quality"]
    assert {batch[n].dtype for n in ("input_ids", "position_ids", "labels")} == {torch.int64}
    assert np.array_equal(batch["input_ids"], rows["input_ids"])
    expected = np.where(rows["loss_mask"], rows["input_ids"].astype(np.int64), IGNORED)
    assert np.array_equal(batch["labels"], expected)
    lengths = [n for row in rows["input_ids"] for n in pieces(ROWS, 8)[row[0]]]
    assert batch["cu_seqlens"].dtype == torch.int32
    assert batch["cu_seqlens"].tolist() == np.cumsum([0, *lengths]).tolist()
    assert batch["max_seqlen"] == max(lengths)
    stored = next(TensorLoader(data, batch=6, seed=2, dtype=None, labels=False, columns=["input_ids"]))
    assert stored["input_ids"].dtype == torch.uint16
    assert list(stored) == ["input_ids"]
    assert stored["input_ids"].tolist() == batch["input_ids"].tolist()


@pytest.mark.parametrize("columns", [["input_ids", "position_ids"], ["input_ids", "segments"], ["input_ids"]])
def test_labels_without_a_mask(tmp_path: Path, columns: list[str]) -> None:
    """The first token of each piece is no target, as far as it's known, and padding is none."""
    rows = table(10, full=True)
    ids = np.array(rows["input_ids"].to_pylist(), np.uint16)
    ids[3, 5:] = PADDING
    ids = ids.astype(np.int64)  # as others store them: labels are a copy all the same
    changed = rows.set_column(0, "input_ids", type(rows["input_ids"].chunk(0)).from_arrays(ids.ravel(), 8))
    found = next(TensorLoader(dataset(tmp_path, changed, [10]), batch=10, shuffle=False, columns=columns))
    expected = np.where(ids == PADDING, IGNORED, ids.astype(np.int64))
    if len(columns) > 1:
        expected[np.array(rows["position_ids"].to_pylist()) == 0] = IGNORED
    assert found["labels"].tolist() == expected.tolist()
    assert found["input_ids"].tolist() == ids.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_states_are_counted_where_batches_are_taken(data: TokenDataset, workers: int) -> None:
    """What workers have made ahead does not count; the state fits any number of them, of ranks, and the plain loader."""
    loader = TensorLoader(data, batch=6, seed=2, workers=workers, prefetch=3)
    found = ids(islice(loader, 5))
    state = loader.state_dict()
    assert state == {**Loader(data, batch=6, seed=2).state_dict(), "samples": 30}
    ranks = [TensorLoader(data, batch=6, seed=2, rank=r, world=2, workers=3 * (workers == 0)) for r in (0, 1)]
    for rank in ranks:
        rank.load_state_dict(state)
    for _ in range(6):
        found += ids(next(rank) for rank in ranks)
    plain = Loader(data, batch=6, seed=2)
    plain.load_state_dict(ranks[0].state_dict())
    assert found + ids(islice(plain, 2)) == wanted(data, 13)


def test_workers_end_with_their_loader(data: TokenDataset) -> None:
    """A loader that nobody has any more is gone at once, and its workers with it: no collector has to find them."""
    loader = TensorLoader(data, batch=6, seed=2, workers=2, prefetch=2)
    next(loader)
    seen, before = weakref.ref(loader), time.monotonic()
    workers = multiprocessing.active_children()
    assert len(workers) >= 2
    del loader
    assert seen() is None
    assert time.monotonic() - before < 4
    assert not [worker for worker in workers if worker.is_alive()]


def test_workers_take_turns_to_the_end(data: TokenDataset) -> None:
    """With an end, every batch comes once and in order, though workers end at different times."""
    loaders = [TensorLoader(data, batch=6, seed=2, epochs=2, workers=n) for n in (0, 3)]
    one, two = (ids(loader) for loader in loaders)
    assert one == two == wanted(data, 16)
    assert list(loaders[1]) == []


def test_what_a_worker_meets_is_raised(tmp_path: Path) -> None:
    """And the stream goes on where it was when it is mended."""
    folder = dataset(tmp_path, table(20), [10, 10])
    there, away = folder / "data-00001-of-00002.arrow", folder / "away"
    there.rename(away)
    loader = TensorLoader(folder, batch=10, shuffle=False, workers=1, epochs=1)
    found = ids([next(loader)])
    with pytest.raises(InputError, match="the shard is not there"):
        next(loader)
    away.rename(there)
    assert found + ids(loader) == table(20)["input_ids"].to_pylist()


def test_pickled_loaders_go_on(data: TokenDataset) -> None:
    """As workers that are spawned get them."""
    loader = TensorLoader(data, batch=6, seed=2, dtype=torch.int32)
    next(loader)
    again = pickle.loads(pickle.dumps(loader))
    assert next(again)["input_ids"].dtype == torch.int32
    assert again.state_dict() == {**loader.state_dict(), "samples": 12}


@pytest.mark.parametrize("workers", [0, 2])
def test_torchdata_keeps_the_states_of_workers(data: TokenDataset, workers: int) -> None:
    """StatefulDataLoader over Batches: stopped after three batches it goes on with the fourth."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")

    def made(workers: int = workers) -> Any:
        batches = Batches(TensorLoader(data, batch=6, seed=2, epochs=2))
        return stateful.StatefulDataLoader(batches, batch_size=None, num_workers=workers)

    first = made()
    found = ids(islice(iter(first), 3))
    again = made()
    again.load_state_dict(first.state_dict())
    found += ids(again)
    assert found == wanted(data, 16)


def test_what_makes_no_batch_is_refused(tmp_path: Path, data: TokenDataset) -> None:
    """Documents, which differ in length; a worker's state in another number of workers."""
    documents = table(5, full=True).select(["segments"]).rename_columns(["input_ids"])
    folder = dataset(tmp_path, documents, [5])
    assert next(Loader(folder, batch=5, shuffle=False))["input_ids"].values.sum() == 40
    with pytest.raises(RecipeError, match="rows of different lengths make no batch; open what write"):
        TensorLoader(folder, batch=5)
    batches = Batches(TensorLoader(data, batch=6))
    batches.load_state_dict({**batches.state_dict(), "made": 3, "workers": 2})
    with pytest.raises(RecipeError, match="a state of 2 workers was loaded by 1; use as many, or TensorLoader"):
        next(iter(batches))
