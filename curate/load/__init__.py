"""Batches for training from a published dataset: random access to its shards, one order for any number of readers.

loader = Loader("runs/mine/dataset", batch=512, seed=7, rank=rank, world=world)
for batch in loader:
    batch["input_ids"]              # this rank's rows of the global batch, uint16[512 / world, 2048]
    saved = loader.state_dict()     # a few bytes, the same on every rank

Tensors, pinned memory and workers are in ``curate.load.torch``, which alone needs torch.
"""

from __future__ import annotations

from curate.load.dataset import Ragged, TokenDataset
from curate.load.loader import Loader

__all__ = ["Loader", "Ragged", "TokenDataset"]
