"""Static embeddings: equal to wordllama's own, each row's its own, whatever is remembered."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import context, docstrings, junk, source_files

from curate.errors import InputError
from curate.quality import static_vectors as module
from curate.stages.embed_static import EmbedStatic
from curate.text.batch import Batch

pytest.importorskip("tokenizers")
pytest.importorskip("safetensors")
if importlib.util.find_spec("wordllama") is None:
    pytest.skip("the extra 'embeddings' is not installed", allow_module_level=True)

ODD = [
    "caf\u00e9 \u4f60\u597d\u4e16\u754c \U0001f469\u200d\U0001f4bb",
    "</s> <s>x</s>y <unk>",
    "a\x00b",
    "\u2581 \u2581a",
    "x" * 3_000,
]


@pytest.fixture(scope="module")
def vectors():
    return module.static_vectors()


def batch(texts):
    return Batch.of(pa.array(texts, pa.large_string()))


def slow(texts, tokenizer, matrix, limit):
    """What it says it is: the words' tokens, one by one."""
    result = []
    for text in texts:
        ids, at = [], 0
        for word in text.split():
            at = text.index(word, at) + len(word)
            if len(text[:at].encode()) > limit:
                break
            ids += tokenizer.encode(word, add_special_tokens=False).ids
        result.append(matrix[ids].mean(axis=0, dtype=np.float64) if ids else None)
    return result


def test_equal_to_the_package(vectors):
    """On texts with single spaces, where white space has no token of its own, wordllama's own mean is the same.

    But for what looks like white space or a special token to Llama: tokens of whole texts then cross words.
    """
    texts = [" ".join(t.split()) for t in [*docstrings()[:60], *junk(10), *source_files(3), *ODD]]
    texts = [t for t in texts if "\u2581" not in t and "<s>" not in t]
    code = """
import json, sys
from pathlib import Path
import wordllama
from safetensors import safe_open
from tokenizers import Tokenizer
from wordllama.inference import WordLlamaInference
# Its own load() looks for the tokenizer beside where it lies, and would download it.
folder = Path(wordllama.__file__).parent
tokenizer = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))
with safe_open(folder / "weights/l2_supercat_256.safetensors", framework="np") as file:
    peer = WordLlamaInference(file.get_tensor("embedding.weight"), tokenizer)
print(json.dumps(peer.embed(json.load(sys.stdin)).tolist()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(texts), capture_output=True, text=True, check=True
    )
    ours, there = vectors.of(batch(texts), 1 << 20)
    assert there.all()
    assert np.abs(ours - np.array(json.loads(done.stdout))).max() < 1e-5


@settings(max_examples=60)
@given(
    st.lists(st.text(st.sampled_from("ab \n\t\u00e9\u4e16\u2581\u00a0\u0085<s>/\U0001f600"), max_size=40), max_size=6),
    st.integers(64, 90),
)
def test_equal_to_its_slow_twin(values, limit):
    """Any white space, any characters, cut at words; rows without words have none."""
    values = [v * 3 for v in values]
    vectors = module.static_vectors()
    ours, there = vectors.of(batch(values), limit)
    for mine, has, twin in zip(ours, there, slow(values, vectors._tokenizer, vectors._matrix, limit), strict=True):
        assert has == (twin is not None)
        assert np.abs(mine - (twin if has else 0)).max() < 1e-5


def test_what_is_remembered_bears_on_nothing(vectors):
    """One that forgets after every batch, one that knows all words, rows alone or together: the same bits."""
    texts = [*docstrings()[:40], "", " ", *ODD]
    whole, there = vectors.of(batch(texts), 4_096)
    forgetful = module.StaticVectors(vectors._matrix, vectors._tokenizer, remembered=0)
    for one in (vectors, forgetful):
        for size in (1, 7):
            parts = [one.of(batch(texts[i : i + size]), 4_096) for i in range(0, len(texts), size)]
            assert np.array_equal(np.concatenate([p[0] for p in parts]), whole)
            assert np.array_equal(np.concatenate([p[1] for p in parts]), there)
    assert there.tolist() == [t.strip() != "" for t in texts]


def test_the_table_grows(vectors):
    """More distinct words than the first table holds."""
    texts = [" ".join(f"w{i}x{j}" for j in range(2_000)) for i in range(50)]
    fresh = module.StaticVectors(vectors._matrix, vectors._tokenizer)
    whole, _ = fresh.of(batch(texts), 1 << 20)
    assert len(fresh._keys) > 1 << 16
    again, _ = fresh.of(batch(texts[::-1]), 1 << 20)
    assert np.array_equal(again[::-1], whole)
    assert np.array_equal(
        module.StaticVectors(vectors._matrix, vectors._tokenizer).of(batch(texts[-1:]), 1 << 20)[0][0], whole[-1]
    )


def test_the_stage_gives_vectors_and_nulls():
    """Null where there is no word; a head reads the column."""
    from curate.quality.vectors import matrix

    column = EmbedStatic().measure(batch(["a list of numbers", "", "\n"]), context("e"))["vector"]
    column.validate(full=True)
    assert column.is_valid().to_pylist() == [True, False, False]
    rows, there = matrix(column)
    assert rows.shape == (1, 256) and there.tolist() == [True, False, False]


def test_another_wheel_is_said(monkeypatch, tmp_path):
    """No package, a package with other files: one line with the cure."""
    module.static_vectors.cache_clear()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"not installed; pip install 'phi-curate\[embeddings\]'"):
        module.static_vectors()

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: Spec)
    with pytest.raises(InputError, match="not the file of static embeddings"):
        module.static_vectors()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/l2_supercat_256.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match="not the file of static embeddings"):
        module.static_vectors()
    monkeypatch.undo()
    module.static_vectors.cache_clear()
