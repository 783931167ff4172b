"""Whose a token of a dataset is, against what the dataset was made of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from written import PAD, documents, texts, write_documents, write_texts, write_tokens

from curate.errors import InputError, RecipeError
from curate.report.sequence import token_at
from curate.store.dataset import open_dataset
from curate.store.files import Store

SIZE = 32


def test_every_token_is_of_the_document_that_was_packed_there(tmp_path: Path) -> None:
    """Document, epoch, token of it, its piece; what is padding is no document's."""
    made = write_tokens(tmp_path / "dataset", documents(20), SIZE, shards=3)
    dataset = open_dataset(Store(made.folder))
    for sequence, pieces in enumerate(made.sequences):
        used = 0
        for piece in pieces[:2]:
            for token in {piece.at, piece.at + piece.stop - piece.start - 1}:
                found = token_at(dataset, sequence, token)
                doc, at = piece.document, piece.start + token - piece.at
                assert (found.document, found.epoch, found.at, found.id) == (doc.id, doc.epoch, at, doc.ids[at])
                assert (found.begins, found.ends) == (piece.at, piece.at + piece.stop - piece.start)
                assert found.whole == (piece.stop - piece.start == len(doc.ids))
                assert found.target == (token > piece.at) and found.here == str(doc.ids[at])
                assert found.before.split() == [str(i) for i in doc.ids[piece.start : at]][-40:]
        used = pieces[-1].at + pieces[-1].stop - pieces[-1].start
        if used < SIZE:
            found = token_at(dataset, sequence, SIZE - 1)
            assert (found.document, found.epoch, found.id, found.target) == ("", -1, PAD, False)
    assert "shown as numbers" in found.note


def test_encoded_documents_are_rows(tmp_path: Path) -> None:
    """A row is a document."""
    made = write_documents(tmp_path / "documents", documents(9))
    found = token_at(open_dataset(Store(made.folder)), 7, 0)
    assert (found.document, found.at, found.whole, found.target) == (made.documents[7].id, 0, True, None)


def test_what_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    """A sequence or a token too many, a side table that was left behind, texts."""
    made = write_tokens(tmp_path / "dataset", documents(5), SIZE)
    dataset = open_dataset(Store(made.folder))
    with pytest.raises(RecipeError, match="the dataset has"):
        token_at(dataset, 1000, 0)
    with pytest.raises(RecipeError, match="has 32 tokens; give 0 to 31"):
        token_at(dataset, 0, SIZE)
    shutil.rmtree(f"{made.folder}.sequences")
    with pytest.raises(InputError, match="copy it from the run"):
        token_at(dataset, 0, 0)
    pages = write_texts(tmp_path / "pages", *texts(3))
    with pytest.raises(RecipeError, match="no tokens"):
        token_at(open_dataset(Store(pages.folder)), 0, 0)
