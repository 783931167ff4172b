"""embed.llm: what it asks, what becomes of a vector, and what it refuses."""

import json

import pyarrow as pa
import pytest
from learning_cases import batch, context, docstrings, split
from pydantic import ValidationError

from curate.errors import InputError
from curate.llm.embedding import encode
from curate.llm.request import Answer
from curate.stages.embed_llm import EmbedLLM
from curate.stages.generator import Accepted
from curate.text.batch import Batch


def documents(texts=None):
    texts = texts if texts is not None else docstrings()[:30]
    labels = pa.array([None if i % 5 == 4 else i % 2 for i in range(len(texts))], pa.int8())
    scores = pa.array([i / 100 for i in range(len(texts))], pa.float32())
    return batch(texts, ["docs" if i % 2 else "shop" for i in range(len(texts))],
                 **{"labels.label": labels, "value.score": scores})  # fmt: skip


def asked(docs, **settings):
    return [r for round_ in EmbedLLM(**settings).requests(docs, context("embedded")) for r in round_]


def vector(text, key="k"):
    return Answer(key, text, "stop", "teacher", 3, 0, "CC0")


def test_every_document_is_asked_about_once_in_its_place():
    """However rows are batched; rounds of the size that is asked for; empty documents are left out."""
    docs = documents([*docstrings()[:30], "", " "])
    rounds = list(EmbedLLM(round=8).requests(split(docs, 7), context("embedded")))
    assert [len(r) for r in rounds] == [8, 8, 8, 7]
    assert asked([docs], round=8) == [r for round_ in rounds for r in round_]
    ids = [one.hex() for one, text in zip(docs.column("id").to_pylist(), docs.text.to_pylist(), strict=True) if text]
    assert [r.subject["document"] for round_ in rounds for r in round_] == ids
    assert all(r.kind == "embeddings" and r.max_tokens == 0 for r in asked([docs]))
    json.dumps([dict(r.subject) for r in asked([docs], keep=["labels.label"])])


def test_a_corpus_is_gone_through_once_round_by_round():
    """A round is there when its last row was read, so what is in memory is a batch and a round."""
    read = []

    def docs():
        for some in split(documents(), 5):
            read.append(len(some))
            yield some

    rounds = EmbedLLM(round=6).requests(docs(), context("embedded"))
    for number in range(1, 6):
        assert len(next(rounds)) == 6
        assert sum(read) < 6 * number + 6
    assert next(rounds, None) is None


def test_the_first_characters_are_embedded_after_a_prefix():
    """Cut between characters; the document itself stays whole."""
    (request,) = asked([documents(["caf\u00e9 \U0001f600 and more"])], max_chars=6, prefix="passage: ", dimensions=4)
    assert request.messages[0]["content"] == "passage: caf\u00e9 \U0001f600"
    assert request.sampling == {"dimensions": 4}
    assert request.subject["text"] == "caf\u00e9 \U0001f600 and more"


def test_a_vector_makes_the_document_again():
    """Text, source and meta are the document's; meta says where it comes from; kept columns are numbers or null."""
    stage = EmbedLLM(keep=["labels.label", "value.score"])
    assert stage.reads() == {"labels.label", "value.score"}
    assert stage.adds() == {"vector": pa.list_(pa.float32()), "label": pa.float64(), "score": pa.float64()}
    docs = documents()
    by_id = {row["id"].hex(): row for row in docs.rows.to_pylist()}
    for request in asked([docs], keep=["labels.label", "value.score"]):
        result = stage.accept(request, vector(encode([1.0, 2.0])), context("embedded"))
        assert isinstance(result, Accepted)
        row = by_id[result.meta["document"]]
        assert (result.text, result.source) == (row["text"], row["source"])
        assert result.columns["vector"].tolist() == [1.0, 2.0]
        assert result.columns["label"] == row["labels.label"]
        assert result.columns["score"] == pytest.approx(row["value.score"])
        assert result.meta["embedded_by"] == "teacher"


def test_meta_of_the_document_stays():
    """Its licence is the text's, not the embedding model's."""
    docs = documents(["text"])
    place = docs.rows.schema.get_field_index("meta")
    docs = Batch(docs.rows.set_column(place, "meta", pa.array(['{"license": "MIT", "path": "a"}'])))
    (request,) = asked([docs])
    meta = EmbedLLM().accept(request, vector(encode([1.0])), context("embedded")).meta
    assert {k: meta[k] for k in ("license", "path")} == {"license": "MIT", "path": "a"}
    assert "licence" not in meta and "model" not in meta


def test_a_judgement_stays_about_its_document():
    """The vector of a judged document names the document and the source that the judge was shown, and who judged."""
    docs = documents(["text"])
    place = docs.rows.schema.get_field_index("meta")
    own = {"document": "ab" * 16, "source": "web", "model": "judge", "licence": "CC0"}
    docs = Batch(docs.rows.set_column(place, "meta", pa.array([json.dumps(own)])))
    (request,) = asked([docs])
    result = EmbedLLM().accept(request, vector(encode([1.0])), context("embedded"))
    assert result.source == "web"
    assert {name: result.meta[name] for name in own} == own


def test_what_it_can_not_do_is_said():
    """Nothing to embed, too much to embed, columns that are no numbers, two columns of one name."""
    with pytest.raises(InputError, match="no documents to embed"):
        asked([documents([""])])
    with pytest.raises(InputError, match="no documents to embed"):
        asked([])
    with pytest.raises(InputError, match=r"more than 10 documents to embed; let a cheaper score choose"):
        asked(split(documents(), 4), max_documents=10)
    with pytest.raises(InputError, match=r"keep: column 'source' holds string, no numbers"):
        asked([documents()], keep=["source"])
    for keep in (["a.score", "b.score"], ["a.vector"]):
        with pytest.raises(ValidationError, match="two columns one name"):
            EmbedLLM(keep=keep)


def test_the_report_says_what_was_read():
    """Lengths of vectors and texts; vectors of two lengths are two models."""
    vectors = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()))
    rows = pa.RecordBatch.from_pydict({"chars": pa.array([3, 6]), "e.score": pa.array([1.0, 2.0]), "e.vector": vectors})
    table = pa.Table.from_batches([EmbedLLM().told(rows)])
    assert table.column_names == ["numbers", "chars"]
    assert EmbedLLM(max_chars=4).report(table) == {
        "dimensions": 2, "documents": 2, "cut": 1, "characters": 9, "characters_read": 7,
    }  # fmt: skip
    mixed = table.set_column(0, "numbers", pa.array([1, 2], pa.int32()))
    with pytest.raises(InputError, match="vectors of 1, 2 numbers"):
        EmbedLLM().report(mixed)
    assert EmbedLLM().report(table.slice(0, 0))["dimensions"] is None
