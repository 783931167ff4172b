"""Documents of the shipped samples come back from their tokens, whatever the tokenizer was trained on."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from learning_cases import batch, context

from curate import assets
from curate.stages import tokenizer as tk
from curate.stages.train_tokenizer import TrainTokenizer

SAMPLES = ("web", "code")
AT_ONCE = 256


def texts(name: str) -> Iterator[str]:
    """The documents of a sample that have a text."""
    path = assets.ROOT / "data" / "samples" / f"{name}.jsonl.zst"
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as raw:
        for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n"):
            row = json.loads(line)
            if isinstance(row.get("text"), str):
                yield row["text"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer made from one document in twelve of both samples."""
    folder = tmp_path_factory.mktemp("tokenizer")
    some = [text for name in SAMPLES for i, text in enumerate(texts(name)) if i % 12 == 0]
    TrainTokenizer(vocab_size=2048, max_bytes=1_000_000).train([batch(some, ["sample"] * len(some))], folder, context())
    return folder


@pytest.mark.parametrize("name", SAMPLES)
def test_each_document_comes_back(trained: Path, name: str) -> None:
    """decode(encode(text)) == text for every fourth, and no token of a document is a control symbol."""
    tokenizer = tk.load(trained)
    documents, size, tokens, lost = list(texts(name))[::4], 0, 0, []
    for start in range(0, len(documents), AT_ONCE):
        part = documents[start : start + AT_ONCE]
        for i, (text, ids) in enumerate(
            zip(part, tk.lists(tokenizer.encode(pa.array(part, pa.large_string()))), strict=True)
        ):
            size, tokens = size + len(text.encode()), tokens + len(ids)
            assert not len(ids) or ids.min() > tokenizer.padding
            if tokenizer.decode(ids) != text:
                lost.append((start + i, text[:80]))
    assert lost == []
    assert len(documents) > 375
    assert size > 2_000_000
    assert 2 < size / tokens < 6
