"""Exports read by their own readers, and what their own writers write of the same rows; run in an environment with them.

``python export_peer.py read FORMAT FOLDER [LENGTH]`` prints all rows as JSON; ``write FORMAT FOLDER < rows`` writes them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def _without_torchvision() -> None:
    """mosaicml-streaming imports torchvision for its data sets of images, none of which is used; its wheels fit one build of
    torch only."""
    import types

    # It looks for torchvision, too: before there seems to be one.
    import transformers.feature_extraction_utils
    import transformers.tokenization_utils_base  # noqa: F401

    given = {"torchvision": [], "datasets": ["VisionDataset"], "transforms": [], "transforms.functional": ["to_tensor"]}
    for name, members in given.items():
        module = types.ModuleType(name if name == "torchvision" else f"torchvision.{name}")
        for member in members:
            setattr(module, member, type(member, (), {}))
        sys.modules[module.__name__] = module


def read_megatron(folder: Path, length: int) -> list[Any]:
    """Documents, by IndexedDataset."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    found = []
    for index in sorted(folder.glob("*.idx")):
        dataset = IndexedDataset(str(index.with_suffix("")))
        assert dataset.document_indices.tolist() == list(range(len(dataset) + 1))
        found += [dataset[i].tolist() for i in range(len(dataset))]
    return found


def read_nanotron(folder: Path, length: int) -> list[Any]:
    """Windows of length + 1 tokens with positions, by DatatroveFolderDataset."""
    from datatrove.utils.dataset import DatatroveFolderDataset

    size = int((next(folder.glob("*.metadata"))).read_text().split("\n")[0].rpartition("|")[2])
    dataset = DatatroveFolderDataset(
        str(folder), length, filename_pattern="*.ds", token_size=size, return_positions=True
    )
    rows = [dataset[i] for i in range(len(dataset))]
    return [[row["input_ids"].tolist(), row["positions"].tolist()] for row in rows]


def read_litdata(folder: Path, length: int) -> list[Any]:
    """Items; or blocks of so many tokens."""
    from litdata import StreamingDataset, TokensLoader

    loader = TokensLoader(block_size=length) if length else None
    return [_plain(row) for row in StreamingDataset(str(folder), item_loader=loader)]


def read_mds(folder: Path, length: int) -> list[Any]:
    """Samples, by StreamingDataset."""
    _without_torchvision()
    from streaming import StreamingDataset

    dataset = StreamingDataset(local=str(folder), batch_size=1, shuffle=False, validate_hash="sha1")
    return [_plain(dataset[i]) for i in range(dataset.num_samples)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def write_mds(folder: Path, said: dict[str, Any]) -> None:
    """By MDSWriter."""
    import numpy as np

    _without_torchvision()
    from streaming import MDSWriter

    types = {name: kind.split(":")[1] for name, kind in said["columns"].items() if kind.startswith("ndarray")}
    with MDSWriter(
        columns=said["columns"], out=str(folder), hashes=["sha1"], size_limit=said["size_limit"], exist_ok=True
    ) as out:
        for row in said["rows"]:
            out.write({k: np.array(v, types[k]) if k in types else v for k, v in row.items()})


def write_megatron(folder: Path, said: dict[str, Any]) -> None:
    """By IndexedDatasetBuilder."""
    import numpy as np
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    built = IndexedDatasetBuilder(str(folder / "00000_documents.bin"), dtype=getattr(np, said["dtype"]))
    for ids in said["rows"]:
        built.add_item(torch.tensor(ids))
        built.end_document()
    built.finalize(str(folder / "00000_documents.idx"))


def write_nanotron(folder: Path, said: dict[str, Any]) -> None:
    """By TokenizedFile."""
    import numpy as np
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    out = TokenizedFile(
        str(folder),
        "00000_shuffled.ds",
        save_loss_metadata=True,
        tokenizer_name_or_path="tokenizer",
        save_final_metadata=True,
        token_size=said["token_size"],
    )
    for ids, mask in said["rows"]:
        out.write(ids, np.array(mask, bool))
    out.close()


def write_litdata(folder: Path, said: dict[str, Any]) -> None:
    """By BinaryWriter."""
    import numpy as np
    from litdata.streaming.item_loader import PyTreeLoader, TokensLoader
    from litdata.streaming.writer import BinaryWriter

    types = said["dtypes"]
    loader = TokensLoader() if isinstance(types, str) else PyTreeLoader()
    out = BinaryWriter(str(folder), chunk_bytes=said["chunk_bytes"], item_loader=loader)
    for number, row in enumerate(said["rows"]):
        item = np.array(row, types) if isinstance(types, str) else {k: np.array(v, types[k]) for k, v in row.items()}
        out.add_item(number, item)
    out.done()
    out.merge()


if __name__ == "__main__":
    _, act, to, where, *more = sys.argv
    if act == "read":
        json.dump(globals()[f"read_{to}"](Path(where), int(more[0]) if more else 0), sys.stdout)
    else:
        Path(where).mkdir(parents=True, exist_ok=True)
        globals()[f"write_{to}"](Path(where), json.load(sys.stdin))
