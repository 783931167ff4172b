"""Global batches in an order that the seed alone decides, each rank its part, from any sample on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from curate.errors import RecipeError
from curate.load.dataset import TokenDataset
from curate.load.order import Kind, Order

__all__ = ["Loader"]

_STATE: Final = ("samples", "seed", "order", "dataset")


class Loader:
    """An iterator of batches, each a dict of numpy arrays by column, without end unless ``epochs`` says so.

    Samples are taken from one endless stream: epoch after epoch, each in an order of its own that depends on the seed and nothing
    else. A global batch is the next ``batch`` samples of the stream, over the end of an epoch where it falls into it, so no
    sample is left out; rank r gets the r-th of ``world`` equal parts. The state is the number of samples that were consumed:
    it can be loaded with any number of ranks, workers, or another batch, and the stream goes on where it was.

    Args:
        dataset: one that is open, or a path, a URL, several of them.
        batch: samples in each global batch.
        seed: another one, another order.
        rank, world: which part of how many; a batch that ``world`` does not divide is refused.
        epochs: where the stream ends; fewer than ``batch`` samples at its very end are left out. None: it does not end.
        shuffle: ``True``: each epoch is a permutation of all samples. ``"shards"``: shard after shard in a permuted order, the
            samples of each permuted; for shards that have to be fetched, which are then wanted one after another. ``False``: as
            they are stored, for a dataset that was shuffled when it was written. For a curriculum ``False`` must be said,
            or ``"all"``, which is ``True`` and gives its phases up; others are refused.
        columns: which are read, by default all.
        prefetch: batches that are made ahead by a thread.

    Attributes:
        samples: of the stream that were consumed, by all ranks together.
    """

    def __init__(
        self,
        dataset: TokenDataset | str | Path | Sequence[str | Path],
        *,
        batch: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        epochs: int | None = None,
        shuffle: bool | str = True,
        columns: Sequence[str] | None = None,
        prefetch: int = 0,
    ) -> None:
        _divisible(batch, world)
        if not 0 <= rank < world:
            raise RecipeError(f"rank {rank} of {world}", cure=f"ranks are 0 to {world - 1}")
        self.dataset = dataset if isinstance(dataset, TokenDataset) else TokenDataset(dataset)
        if not len(self.dataset):
            raise RecipeError("a dataset without rows", cure="see why its run wrote none")
        self.batch, self.seed, self.rank, self.world = batch, seed, rank, world
        self.epochs = epochs
        self.columns = tuple(self.dataset.chosen(columns))
        if self.dataset.curriculum and shuffle not in (False, "all"):
            cure = "use shuffle=False, or shuffle='all' to give their order up"
            raise RecipeError(f"shuffle={shuffle!r} mixes the phases of a curriculum", cure=cure)
        self.order = Order(_kind(shuffle), seed, self.dataset.starts)
        self.samples = 0
        self._settings: dict[str, Any] = {
            "batch": batch,
            "seed": seed,
            "rank": rank,
            "world": world,
            "epochs": epochs,
            "shuffle": shuffle,
            "columns": columns,
            "prefetch": prefetch,
        }
        self._prefetch = prefetch
        self._ahead: deque[tuple[int, Future[dict[str, Any]]]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.dataset, self._settings, self.samples)

    @property
    def sequence(self) -> int | None:
        """Tokens in each sample; None of encoded documents."""
        return self.dataset.sequence

    @property
    def vocab_size(self) -> int | None:
        """Ids are below it; None where the folder does not say."""
        return self.dataset.vocab_size

    @property
    def end_of_text(self) -> int | None:
        """The id between documents; None where the folder does not say."""
        return self.dataset.end_of_text

    @property
    def padding(self) -> int | None:
        """The id on places without a token; None where the folder does not say."""
        return self.dataset.padding

    # -- batches

    def has(self, samples: int) -> bool:
        """Whether there is a global batch after so many samples."""
        return self.epochs is None or samples + self.batch <= self.epochs * len(self.dataset)

    def read(self, samples: int) -> dict[str, Any]:
        """The part of this rank of the global batch after so many samples: a pure function, whatever was read before."""
        part = self.batch // self.world
        start = samples + self.rank * part
        if self.dataset.remote and (shard := self.order.next_shard(samples + self.batch - 1)) is not None:
            self.dataset.fetch(shard)
        return self.dataset.take(self.order.rows(np.arange(start, start + part)), self.columns)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any]:
        if not self.has(self.samples):
            raise StopIteration
        batch = self._next_made() if self._prefetch else self.read(self.samples)
        self.samples += self.batch
        return batch

    def _next_made(self) -> dict[str, Any]:
        """The next batch, which a thread has made or is making; it goes on with those after it."""
        if self._process != os.getpid():  # a fork has none of its parent's threads
            self._process, self._thread = os.getpid(), None
            self._ahead.clear()
        self._thread = self._thread or ThreadPoolExecutor(1, "curate-batches")
        if self._ahead and self._ahead[0][0] != self.samples:  # a state was loaded, or a batch could not be read
            self._ahead.clear()
        while len(self._ahead) <= self._prefetch:
            at = self.samples + len(self._ahead) * self.batch
            if not self.has(at):
                break
            self._ahead.append((at, self._thread.submit(self.read, at)))
        return self._ahead.popleft()[1].result()

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Plain values that say where the stream is; the same on every rank after the same number of batches."""
        return state(self, self.samples)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken, on any number of ranks.

        Raises RecipeError for the state of another dataset, seed or order, and for what is no state.
        """
        self.samples = samples_of(self, state)


def _again(kind: type[Loader], dataset: TokenDataset, settings: Mapping[str, Any], samples: int) -> Loader:
    loader = kind(dataset, **settings)
    loader.samples = samples
    return loader


def state(loader: Loader, samples: int) -> dict[str, Any]:
    """A loader's state after so many samples."""
    return {"samples": samples, "seed": loader.seed, "order": loader.order.kind, "dataset": loader.dataset.fingerprint}


def samples_of(loader: Loader, state: Mapping[str, Any]) -> int:
    """How many samples a state says were consumed; raises RecipeError for one that is not of this loader's stream."""
    missing = [name for name in _STATE if name not in state]
    samples = state.get("samples")
    if missing or not isinstance(samples, int) or samples < 0:
        what = f"it has no '{missing[0]}'" if missing else f"{samples!r} is no number of samples"
        raise RecipeError(f"not the state of a loader: {what}", cure="give what state_dict() returned")
    mine = {"seed": loader.seed, "order": loader.order.kind, "dataset": loader.dataset.fingerprint}
    cures = {
        "seed": f"make the loader with seed={state['seed']!r}, or begin anew without the state",
        "order": "make the loader with the shuffle that it had, or begin anew without the state",
        "dataset": "open the dataset that it was taken of (the same shards in the same order), or begin anew without the state",
    }
    for name in ("dataset", "seed", "order"):
        if state[name] != mine[name]:
            raise RecipeError(f"the state is of another {name}: {state[name]}, and not {mine[name]}", cure=cures[name])
    return samples


def _kind(shuffle: bool | str) -> Kind:
    kinds: dict[bool | str, Kind] = {True: "all", "all": "all", False: "stored", "shards": "shards"}
    if shuffle not in kinds:
        raise RecipeError(f"no shuffle {shuffle!r}", cure="use True, False, 'all' or 'shards'")
    return kinds[shuffle]


def _divisible(batch: int, world: int) -> None:
    if batch < 1 or world < 1:
        raise RecipeError(f"a batch of {batch} for {world} ranks", cure="both are at least 1")
    if batch % world:
        low, high = batch // world * world, -(-batch // world) * world
        near = f"batch={high}" if not low else f"batch={low} or {high}"
        fits = max(w for w in range(1, world + 1) if batch % w == 0)
        raise RecipeError(
            f"a global batch of {batch} can't be divided among {world} ranks",
            cure=f"use {near}, or {fits} rank{'s' if fits > 1 else ''}: the order of samples stays the same",
        )
