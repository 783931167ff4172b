"""encode.tokens: columns that are the tokenizer's ids, and their way to bytes and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from exchange import documents
from hypothesis import given
from hypothesis import strategies as st

from curate.stages import tokenizer as tk
from curate.stages.base import Context
from curate.stages.encode_tokens import EncodeTokens, as_bytes, as_ids
from curate.stages.train_tokenizer import TrainTokenizer
from curate.text.batch import Batch

TEXTS = ["def f(x):\n    return x\n" * 20, "", "\u2581 <|endoftext|> \ue581", "a b  c\r\n"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer."""
    out = tmp_path_factory.mktemp("tokenizer")
    TrainTokenizer(vocab_size=300).train([rows()], out, Context("words", 1))
    return out


def rows() -> Batch:
    return Batch(documents(TEXTS).combine_chunks().to_batches()[0])


def test_columns_are_the_documents(folder: Path) -> None:
    """Ids decode to the text, the count is theirs, nothing is left out of training."""
    stage, docs = EncodeTokens(tokenizer="words"), rows()
    found = stage.measure(docs, Context("tokens", None, {"tokenizer": folder}))
    tokenizer = tk.load(folder)
    assert {name: values.type for name, values in found.items()} == stage.signals
    ids = [np.frombuffer(data, "<u2") for data in found["ids"].to_pylist()]
    assert [tokenizer.decode(row) for row in ids] == docs.text.to_pylist()
    assert found["count"].to_pylist() == [len(row) for row in ids]
    assert found["trained"].null_count == len(docs)


@given(st.lists(st.lists(st.integers(0, 2**16 - 1))), st.sampled_from([np.uint16, np.uint32]), st.data())
def test_bytes_and_back(lists: list[list[int]], kind: type[np.uint16 | np.uint32], data: st.DataObject) -> None:
    """Also of a slice, whose offsets do not begin at 0."""
    ids = tk.as_lists(lists, np.dtype(kind))
    found = as_bytes(ids)
    found.validate(full=True)
    assert as_ids(found, np.dtype(kind)).equals(ids)
    start = data.draw(st.integers(0, len(lists)))
    assert as_ids(found.slice(start), np.dtype(kind)).to_pylist() == lists[start:]
    assert as_bytes(ids.slice(start)).to_pylist() == found.slice(start).to_pylist()


def test_ids_are_as_wide_as_they_must_be() -> None:
    """65,535 ids fit uint16 with room for a mark; from 65,536 on they are uint32."""
    assert tk.id_type(65_535) == np.uint16
    assert tk.id_type(65_536) == np.uint32
    assert as_ids(pa.array([None, b"\x01\x00"], pa.large_binary()), np.dtype(np.uint16)).to_pylist() == [[], [1]]
