"""Slow readers of the formats, from what their specifications say: a value after the other, with ``struct``."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

_MEGATRON = {8: ("<H", 2), 4: ("<i", 4)}
_SCALARS = {"int8": "<b", "int16": "<h", "int32": "<i", "int64": "<q", "uint8": "<B", "uint16": "<H", "uint32": "<I"}
_SCALARS |= {"uint64": "<Q", "float32": "<f", "float64": "<d"}
_LITDATA = ["<b", "<h", "<i", "<q", "<B", "<H", "<I", "<Q", "<e", "<f", "<d"]


class Bytes:
    """Bytes that are read from their beginning on."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next so many."""
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:
        """The next number."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]


def numbers(data: bytes, form: str) -> list[Any]:
    """All numbers."""
    return [value for (value,) in struct.iter_unpack(form, data)]


def megatron(folder: Path) -> list[list[int]]:
    """The documents of all ``.bin`` files."""
    found = []
    for index in sorted(folder.glob("*.idx")):
        told, data = Bytes(index.read_bytes()), index.with_suffix(".bin").read_bytes()
        assert told.take(9) == b"MMIDIDX\x00\x00" and told.number("<Q") == 1
        form, size = _MEGATRON[told.number("<B")]
        sequences, documents = told.number("<Q"), told.number("<Q")
        assert documents == sequences + 1
        lengths = [told.number("<i") for _ in range(sequences)]
        pointers = [told.number("<q") for _ in range(sequences)]
        assert [told.number("<q") for _ in range(documents)] == list(range(documents))
        assert told.at == len(told.data) and sum(lengths) * size == len(data)
        for length, pointer in zip(lengths, pointers, strict=True):
            found.append(numbers(data[pointer : pointer + length * size], form))
    return found


def nanotron(folder: Path) -> list[tuple[list[int], list[int] | None]]:
    """The documents of all ``.ds`` files, and for each token whether it is trained on."""
    found: list[tuple[list[int], list[int] | None]] = []
    for path in sorted(folder.glob("*.ds")):
        first, count, _ = path.with_name(f"{path.name}.metadata").read_text().split("\n")
        size = int(first.rpartition("|")[2])
        ids = numbers(path.read_bytes(), "<H" if size == 2 else "<I")
        assert len(ids) == int(count)
        loss = path.with_name(f"{path.name}.loss")
        mask = list(loss.read_bytes()) if loss.exists() else None
        start = 0
        for stop in numbers(path.with_name(f"{path.name}.index").read_bytes(), "<Q"):
            found.append((ids[start:stop], None if mask is None else mask[start:stop]))
            start = stop
        assert start == len(ids) == len(mask or ids)
    return found


def mds(folder: Path) -> list[dict[str, Any]]:
    """The samples of all shards that the index names."""
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    found = []
    for shard in index["shards"]:
        raw = Bytes((folder / shard["raw_data"]["basename"]).read_bytes())
        assert len(raw.data) == shard["raw_data"]["bytes"] and shard["compression"] is None
        count = raw.number("<I")
        offsets = [raw.number("<I") for _ in range(count + 1)]
        config = json.loads(raw.take(offsets[0] - raw.at))
        assert count == shard["samples"] and offsets[-1] == len(raw.data)
        assert config == {k: v for k, v in shard.items() if k not in ("samples", "raw_data", "zip_data")}
        columns = list(zip(config["column_names"], config["column_encodings"], config["column_sizes"], strict=True))
        for start, stop in itertools.pairwise(offsets):
            sample = Bytes(raw.data[start:stop])
            sizes = [size or sample.number("<I") for _, _, size in columns]
            values = [sample.take(size) for size in sizes]
            assert sample.at == len(sample.data)
            found.append({name: _mds(how, v) for (name, how, _), v in zip(columns, values, strict=True)})
    return found


def _mds(encoding: str, value: bytes) -> Any:
    kind, _, rest = encoding.partition(":")
    if kind == "str":
        return value.decode()
    if kind == "json":
        return json.loads(value)
    if kind in _SCALARS:
        return struct.unpack(_SCALARS[kind], value)[0]
    dtype, _, shape = rest.partition(":")
    if shape:
        assert len(value) == int(shape) * struct.calcsize(_SCALARS[dtype])
        return numbers(value, _SCALARS[dtype])
    raw = Bytes(value)
    first = raw.number("<B")
    assert first >> 2 == 1
    length = raw.number(("<B", "<H", "<I", "<Q")[first % 4])
    items = numbers(value[raw.at :], _SCALARS[dtype])
    assert len(items) == length
    return items


def litdata(folder: Path) -> list[Any]:
    """The items of all chunks that the index names."""
    index = json.loads((folder / "index.json").read_text())
    config, found = index["config"], []
    spec = json.loads(config["data_spec"])[1]
    keys = None if spec["context"] is None else json.loads(spec["context"])
    for chunk in index["chunks"]:
        raw = Bytes((folder / chunk["filename"]).read_bytes())
        assert len(raw.data) == chunk["chunk_bytes"] and config["compression"] is None
        count = raw.number("<I")
        offsets = [raw.number("<I") for _ in range(count + 1)]
        assert count == chunk["chunk_size"] and offsets[0] == raw.at and offsets[-1] == len(raw.data)
        items: list[Any] = []
        for start, stop in itertools.pairwise(offsets):
            item = Bytes(raw.data[start:stop])
            if keys is None:
                items.append(_litdata(config["data_format"][0], item.data))
                continue
            sizes = [item.number("<I") for _ in keys]
            values = [_litdata(how, item.take(n)) for how, n in zip(config["data_format"], sizes, strict=True)]
            assert item.at == len(item.data)
            items.append(dict(zip(keys, values, strict=True)))
        assert chunk["dim"] == (None if keys else sum(map(len, items)))
        found += items
    return found


def _litdata(form: str, value: bytes) -> Any:
    kind, _, code = form.partition(":")
    if kind == "str":
        return value.decode()
    if kind == "int":
        return struct.unpack("<q", value)[0]
    if kind == "float":
        return struct.unpack("<d", value)[0]
    assert kind == "no_header_numpy"
    return numbers(value, _LITDATA[int(code)])


def same(left: Any, right: Any) -> bool:
    """Equal, NaN to NaN."""
    if isinstance(left, float) and isinstance(right, float) and np.isnan(left):
        return bool(np.isnan(right))
    return bool(left == right)
