"""`curate tokenizer`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

from command import Curate
from tokenizer_cases import sentencepiece, tiktoken


def test_a_tokenizer_is_looked_at(curate: Curate, tmp_path: Path) -> None:
    """What it is, and what it makes of documents by source; as JSON the same."""
    tiktoken(tmp_path)
    docs = tmp_path / "docs.jsonl"
    rows = [{"text": "some words here\n", "source": s} for s in ("web", "web", "code")]
    docs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = curate("tokenizer", tmp_path / "small.tiktoken", docs).ok().out
    assert "ids (uint16), end of text" in said and "texts come back as they were" in said
    assert "<|im_start|>" in said
    found = json.loads(curate("tokenizer", tmp_path / "small.tiktoken", docs, "--json").ok().out)
    assert found["changes"] == "" and found["controls"]["<|endoftext|>"] == found["end_of_text"]
    assert found["fertility"]["by_source"]["web"]["documents"] == 2
    assert found["fertility"]["all"]["words"] == 9


def test_one_that_changes_texts_is_mended(curate: Curate, tmp_path: Path) -> None:
    """It says what it does, refuses documents, and is written without that."""
    given = sentencepiece(tmp_path, normalization_rule_name="nmt_nfkc") / "tokenizer.model"
    assert "it folds characters" in curate("tokenizer", given).ok().out
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    assert "curate tokenizer --mend" in curate("tokenizer", given, tmp_path / "a.jsonl").line
    assert "say where with -o" in curate("tokenizer", given, "--mend").line
    out = tmp_path / "out"
    assert "texts come back as they were" in curate("tokenizer", given, "--mend", "-o", out).ok().out
    assert (out / "tokenizer.model").is_file()
    assert "exists already" in curate("tokenizer", given, "--mend", "-o", out).line
    assert "no tokenizer 'gpt-5'; there are: gpt2, codegen" in curate("tokenizer", "gpt-5").line
