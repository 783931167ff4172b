"""Batches as tensors: labels, boundaries for varlen attention, pinned memory, DataLoader's workers. Needs torch.

loader = TensorLoader("runs/mine/dataset", batch=512, rank=rank, world=world, prefetch=2, pin_memory=True)
for batch in loader:
    loss = model(batch["input_ids"].to(device, non_blocking=True), labels=...)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from itertools import count
from typing import Any

import numpy as np

from curate.errors import InputError, RecipeError
from curate.load.dataset import Ragged, Rows
from curate.load.loader import Loader, samples_of, state

try:
    import torch
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info
except ImportError as error:
    raise InputError(
        "torch is not installed", place="curate.load.torch", cure="pip install 'phi-curate[torch]'"
    ) from error

__all__ = ["IGNORED", "Batches", "TensorLoader"]

IGNORED = -100
"""The label of what is no target: ``ignore_index`` of torch's cross entropy, and what transformers' models leave out."""


class TensorLoader(Loader):
    """A Loader of tensors; its state is counted here, in this process, whatever workers have made ahead.

    A batch has ``input_ids`` and what is below, each [batch / world, sequence]; other columns as they are stored.

    ``labels``      int64: the ids themselves, IGNORED where ``loss_mask`` is 0; without that column, at the first token of each
                    document's piece and on padding, as far as the folder says where those are. They stand at the places of
                    their ids: the model, as those of transformers, shifts them.
    ``cu_seqlens``  int32[pieces + 1], in place of ``segments``: where the pieces begin in the batch laid end to end, and its
                    end, as varlen attention wants it; ``max_seqlen``, an int, is the longest piece.

    Args:
        dtype: of input_ids and position_ids; None: as they are stored (input_ids uint16 or uint32: a quarter or half of the bytes
            to copy to a device, where they can be widened).
        labels: whether there are any.
        pin_memory: whether tensors lie in pinned memory, from which a copy to a GPU runs beside it; nothing without one.
        workers: processes that make batches ahead, ``prefetch`` each (at least one); 0: the thread of ``prefetch``, which is
            enough for most, as it waits for no lock while it copies.
        others: those of Loader.
    """

    def __init__(
        self,
        *args: Any,
        dtype: torch.dtype | None = torch.int64,
        labels: bool = True,
        pin_memory: bool = False,
        workers: int = 0,
        **others: Any,
    ) -> None:
        super().__init__(*args, **others)
        if self.sequence is None:
            raise RecipeError("rows of different lengths make no batch", cure="open what write.tokens wrote, packed")
        self._settings |= {"dtype": dtype, "labels": labels, "pin_memory": pin_memory, "workers": workers}
        self.dtype, self.labels, self.workers = dtype, labels, workers
        self._pin = pin_memory and torch.cuda.is_available()
        self._made: Iterator[dict[str, Any]] | None = None

    def read(self, samples: int) -> dict[str, Any]:
        """The same, as tensors."""
        rows, pin = super().read(samples), self._pin and get_worker_info() is None
        batch: dict[str, Any] = {}
        for name, values in rows.items():
            if isinstance(values, Ragged):
                if name == "segments":
                    batch |= _boundaries(values, pin)
                continue
            wide = self.dtype if name in ("input_ids", "position_ids") else None
            batch[name] = _tensor(values, wide, pin)
        if self.labels:
            batch["labels"] = self._labels(rows, pin)
        return batch

    def _labels(self, rows: Rows, pin: bool) -> torch.Tensor:
        ids: Any = rows["input_ids"]
        labels = _tensor(ids, torch.int64, pin, own=True)
        out, segments = labels.numpy(), rows.get("segments")
        if "loss_mask" in rows:
            np.putmask(out, np.asarray(rows["loss_mask"]) == 0, IGNORED)
            return labels
        if self.padding is not None and self.padding != self.end_of_text:
            np.putmask(out, ids == self.padding, IGNORED)
        if "position_ids" in rows:
            np.putmask(out, np.asarray(rows["position_ids"]) == 0, IGNORED)
        elif isinstance(segments, Ragged):
            out.reshape(-1)[np.cumsum(segments.values) - segments.values] = IGNORED
        return labels

    def __next__(self) -> dict[str, Any]:
        if not self.workers:
            return super().__next__()
        if self._made is None:
            # Of a loader of their own: in a circle with this one, workers would be ended by the garbage collector, which takes
            # five seconds for each, at any time.
            self._made = iter(
                DataLoader(
                    Batches(copy(self)),
                    batch_size=None,
                    num_workers=self.workers,
                    prefetch_factor=max(1, self._prefetch),
                    pin_memory=self._pin,
                )
            )
        try:
            batch = next(self._made)
        except BaseException:  # the end, or an iterator that is of no more use
            self._made = None
            raise
        self.samples += self.batch
        return batch

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same; workers begin anew."""
        super().load_state_dict(state)
        self._made = None


class Batches(IterableDataset):
    """A loader's batches for ``DataLoader(Batches(loader), batch_size=None, num_workers=k)``: worker w makes every k-th.

    DataLoader takes them from its workers in turn, so their order is the loader's for any k. With workers, the loader in this
    process does not know how many were taken; TensorLoader with ``workers``, or torchdata's StatefulDataLoader, which keeps
    the states of each worker, does.
    """

    def __init__(self, loader: Loader) -> None:
        super().__init__()
        self.loader = loader
        self._begin = self._done = 0
        self._workers: int | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        if self._begin and workers != self._workers:
            raise RecipeError(
                f"a state of {self._workers} workers was loaded by {workers}",
                cure="use as many, or TensorLoader, whose states fit any number",
            )
        begin, self._begin, self._workers = self._begin, 0, workers
        for number in count(begin):
            at = self.loader.samples + (number * workers + worker) * self.loader.batch
            if not self.loader.has(at):
                return
            self._done = number + 1
            yield self.loader.read(at)

    def state_dict(self) -> dict[str, Any]:
        """The loader's state before its first batch, and what this worker has made since then."""
        if self._workers in (None, 1):
            return state(self.loader, self.loader.samples + self._done * self.loader.batch)
        return {**state(self.loader, self.loader.samples), "made": self._done, "workers": self._workers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on there; raises RecipeError for the state of another stream, and later for another number of workers."""
        self.loader.samples = samples_of(self.loader, state)
        self._begin, self._workers = int(state.get("made", 0)), state.get("workers")
        self._done = self._begin


def _tensor(values: np.ndarray[Any, Any], dtype: torch.dtype | None, pin: bool, *, own: bool = False) -> torch.Tensor:
    """An array as a tensor, of another dtype or pinned a copy; by numpy, for torch would start threads to copy a megabyte."""
    found = torch.from_numpy(values)
    if not own and not pin and dtype in (None, found.dtype):
        return found
    made = torch.empty(found.shape, dtype=dtype or found.dtype, pin_memory=pin)
    np.copyto(made.numpy(), values, casting="unsafe")
    return made


def _boundaries(segments: Ragged, pin: bool) -> dict[str, Any]:
    ends = np.concatenate([[0], np.cumsum(segments.values)]).astype(np.int32)
    return {"cu_seqlens": _tensor(ends, None, pin), "max_seqlen": int(segments.values.max(initial=0))}
