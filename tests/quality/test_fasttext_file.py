"""fastText's files read without the library: what is in them, and every way in which a file is none."""

import json
import resource
import struct
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from fasttext_models import train_models

from curate.errors import InputError
from curate.quality import classifier, fasttext_model
from curate.quality.fasttext_file import FastTextFile, read_fasttext
from curate.quality.fasttext_library import LibraryModel
from curate.quality.fasttext_model import FastTextClassifier, write_folded
from curate.quality.folded import Folded, fold
from curate.quality.folder import Description
from curate.quality.text_form import TextForm
from curate.store.arrays import read_arrays, write_arrays
from curate.text.batch import Batch

TEXTS = [f"word{i} and word{i + 1} are words of line {i}, as are these: é 数 x{i * i}" for i in range(60)]
KINDS = ("softmax", "six", "qnorm", "cutoff", "subwords", "hs", "qout", "one")
ARGS = 8
DICTIONARY = ARGS + 12 * 4 + 8


def texts(values):
    return pa.array(values, pa.large_string())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return train_models(tmp_path_factory.mktemp("models"), TEXTS, KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_what_the_library_reads(models, kind):
    """Settings, vocabulary, labels and every row of both matrices."""
    import fasttext

    library = fasttext.load_model(str(models[kind]))
    mine = read_fasttext(models[kind])
    assert [w.decode() for w in mine.words] == library.get_words()
    assert [t.decode() for t in mine.label_tokens] == library.get_labels()
    assert (mine.args.dim, mine.args.bucket) == (library.get_dimension(), 1000)
    if not library.is_quantized():
        np.testing.assert_array_equal(mine.input.decoded(0, mine.input.rows), library.get_input_matrix())
        np.testing.assert_array_equal(mine.output.decoded(0, mine.output.rows), library.get_output_matrix())
    else:
        ids = [library.get_word_id(word) for word in library.get_words()]
        rows = np.array([library.get_input_vector(i) for i in ids])
        np.testing.assert_allclose(mine.input.decoded(0, len(ids)), rows, atol=1e-6)


def edited(path, at, layout, *values):
    raw = bytearray(path.read_bytes())
    struct.pack_into(layout, raw, at, *values)
    return bytes(raw)


def refused(tmp_path, raw, match, name="model.bin"):
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(InputError, match=match) as error:
        fold(read_fasttext(path))
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["softmax", "cutoff", "qout"])
def test_every_truncation_is_one_clear_line(models, kind, tmp_path):
    """Wherever the file ends: no traceback, no allocation of what is not there."""
    raw = models[kind].read_bytes()
    cuts = {0, 3, 7, 8, 12, DICTIONARY - 1, DICTIONARY + 27, *np.linspace(9, len(raw) - 1, 40).astype(int).tolist()}
    for cut in sorted(cuts):
        refused(tmp_path, raw[:cut], "ends within its|too short")


def test_files_that_are_none_are_said_so(models, tmp_path):
    """Not fastText, another version, word vectors, strange settings."""
    path = models["softmax"]
    refused(tmp_path, b"PK\x03\x04" + bytes(100), "not a fastText model")
    refused(tmp_path, b"__label__good a text\n" * 9, "not a fastText model")
    refused(tmp_path, edited(path, 4, "<i", 13), "version 13; 11 and 12 can be read")
    refused(tmp_path, edited(path, 4, "<i", 10), "version 10")
    refused(tmp_path, edited(path, ARGS + 7 * 4, "<i", 1), "word vectors")
    refused(tmp_path, edited(path, ARGS + 6 * 4, "<i", 9), "its loss is 9")
    refused(tmp_path, edited(path, ARGS, "<i", -5), "dim -5")
    refused(tmp_path, edited(path, ARGS, "<i", 11), "not .* x 11")
    refused(tmp_path, edited(path, ARGS + 8 * 4, "<i", 0), "no bucket")
    refused(tmp_path, edited(path, ARGS + 8 * 4, "<i", 2_000_000_000), "input matrix is")
    refused(tmp_path, edited(models["qnorm"], ARGS + 8 * 4, "<i", -1), "bucket -1")


def test_counts_beyond_the_file_allocate_nothing(models, tmp_path):
    """Sizes that only the header claims are refused before memory is asked for."""
    path = models["softmax"]
    size, words, labels = struct.unpack_from("<iii", path.read_bytes(), DICTIONARY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(
        tmp_path, edited(path, DICTIONARY, "<iii", 2**31 - 1, 2**31 - 1 - labels, labels), "ends within its dictionary"
    )
    refused(tmp_path, edited(path, DICTIONARY, "<iii", size, words + 5, labels), "entries")
    refused(tmp_path, edited(path, DICTIONARY, "<iii", size, words + labels, 0), "entries")
    refused(tmp_path, edited(path, DICTIONARY + 20, "<q", 2**62), "ends within its list")
    mine = read_fasttext(path)
    matrix = path.read_bytes().index(struct.pack("<qq", mine.input.rows, mine.input.columns))
    for rows, columns in ((2**62, 10), (2**40, 2**40), (10, 2**62)):
        refused(tmp_path, edited(path, matrix, "<qq", rows, columns), "ends within its input matrix")
    refused(tmp_path, edited(path, matrix, "<qq", -1, 10), "its input matrix is -1 x 10")
    refused(tmp_path, edited(path, matrix, "<qq", 1, 10), "damaged|ends within")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize("kind", ["softmax", "cutoff"])
def test_damage_never_gets_through_as_anything_else(models, kind, tmp_path):
    """Random bytes changed in the head: a model or an InputError, nothing else."""
    raw, rng = models[kind].read_bytes(), np.random.default_rng(5)
    path = tmp_path / "model.bin"
    for _ in range(150):
        wrong = bytearray(raw)
        for at in rng.integers(0, min(len(raw), 1200), 2).tolist():
            wrong[at] = rng.integers(256)
        path.write_bytes(wrong)
        try:
            found = read_fasttext(path)
        except InputError:
            continue
        assert isinstance(found, FastTextFile)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(models, bad, tmp_path):
    """In the input, the output, or the centroids of a quantized matrix."""
    mine = read_fasttext(models["softmax"])
    raw = models["softmax"].read_bytes()
    matrix = raw.index(struct.pack("<qq", mine.input.rows, mine.input.columns)) + 16
    refused(tmp_path, edited(models["softmax"], matrix + 400, "<f", bad), "NaN or infinity")
    refused(tmp_path, edited(models["softmax"], len(raw) - 4, "<f", bad), "NaN or infinity")
    raw = models["qnorm"].read_bytes()
    quantizer = raw.index(struct.pack("<iiii", 11, 4, 3, 2)) + 16
    refused(tmp_path, edited(models["qnorm"], quantizer + 4 * 512, "<256f", *[bad] * 256), "NaN or infinity")


def test_version_11_has_no_subwords(models, tmp_path):
    """As ``FastText::loadModel`` has it for old classifiers."""
    path = tmp_path / "old.bin"
    path.write_bytes(edited(models["subwords"], 4, "<i", 11))
    assert read_fasttext(models["subwords"]).args.maxn == 4
    assert read_fasttext(path).args.maxn == 0


def test_labels_are_chosen_by_name_or_by_what_they_are_worth(models):
    """P(label); the expected value where all labels are numbers; else the labels are listed."""
    docs = Batch.of(texts(TEXTS))
    six = FastTextClassifier.foreign(models["six"])
    chances = six.probabilities(docs)
    worth = chances @ np.array([float(label) for label in six.labels])
    np.testing.assert_allclose(six.score(docs), worth, rtol=1e-6)
    assert (worth >= 0).all() and (worth <= 5).all()
    named = FastTextClassifier.foreign(models["six"], "__label__3").score(docs)
    np.testing.assert_allclose(named, chances[:, six.labels.index("3")], rtol=1e-6)
    assert FastTextClassifier.foreign(models["one"]).score(docs).tolist() == [1.0] * len(TEXTS)
    with pytest.raises(InputError, match=r"name one of its labels: l[01], l[01]"):
        FastTextClassifier.foreign(models["softmax"])
    with pytest.raises(InputError, match=r"no label 'l2'.*its labels: l[01]"):
        FastTextClassifier.foreign(models["softmax"], "l2")
    with pytest.raises(InputError, match=r"300 in all"):
        FastTextClassifier.foreign(models["qout"])


def test_a_file_is_a_classifier_by_its_path(models, tmp_path):
    """Read once for each label; a folder that holds the folded table is one, too, in its own form."""
    docs = Batch.of(texts([*TEXTS, "", "Words in Capitals"]))
    one = classifier.load(models["softmax"], "l0")
    assert classifier.load(models["softmax"], "l0") is one
    two = classifier.load(models["softmax"], "l1")
    np.testing.assert_allclose(one.score(docs) + two.score(docs), 1, atol=1e-6)
    write_folded(models["softmax"], tmp_path, TextForm(case="lower"), "float32", dim=10)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.npz", "settings.json"]
    kept = classifier.load(tmp_path, "l0")
    assert kept.score(docs)[-2] == classifier.EMPTY_SCORE
    same = one.score(Batch.of(texts([*TEXTS, "words in capitals"])))
    np.testing.assert_array_equal(np.delete(kept.score(docs), -2), same)
    with pytest.raises(InputError, match="hierarchical"):
        write_folded(models["hs"], tmp_path, TextForm())


def test_a_table_that_would_be_too_large_goes_through_the_library(models, monkeypatch, tmp_path):
    """The same scores either way, for anybody's model and for one with a form of its own."""
    docs = Batch.of(texts([*TEXTS, "", "a\nb </s> word3 __label__x"]))
    foreign = FastTextClassifier.foreign(models["six"])
    (tmp_path / "model.bin").write_bytes(models["six"].read_bytes())
    Description(kind="fasttext", form=TextForm(case="lower")).write(tmp_path)
    own = FastTextClassifier.load(tmp_path)
    monkeypatch.setattr(fasttext_model, "_MOST_BYTES", 0)
    for folded, other in (
        (foreign, FastTextClassifier.foreign(models["six"])),
        (own, FastTextClassifier.load(tmp_path)),
    ):
        assert isinstance(folded.model, Folded) and isinstance(other.model, LibraryModel)
        np.testing.assert_allclose(other.score(docs), folded.score(docs), atol=1e-4)
        assert (folded.score(docs)[-2] == 0) == (folded is own)


def test_what_a_pruned_model_would_take_is_counted_by_its_buckets(models):
    """Few of its rows are in the file, but its table has a place for each bucket."""
    kept = read_fasttext(models["six"])
    pruned = replace(kept, pruned=np.zeros((1, 2), np.int32), args=replace(kept.args, bucket=1 << 30))
    assert fasttext_model._folded_bytes(kept) == 4 * kept.input.rows * 6
    assert fasttext_model._folded_bytes(pruned) > fasttext_model._MOST_BYTES


def test_members_packed_in_any_way_are_read_or_refused(tmp_path):
    """A byte that says LZMA of what is none: lzma has errors of its own."""
    path = tmp_path / "model.npz"
    write_arrays(path, {"a": np.arange(500)})
    raw = path.read_bytes()
    at = raw.rindex(b"PK\1\2") + 10
    for method in range(256):
        path.write_bytes(raw[:at] + bytes([method]) + raw[at + 1 :])
        if method == 8:
            assert len(read_arrays(path)["a"]) == 500
            continue
        with pytest.raises(InputError, match="not a file of arrays"):
            read_arrays(path)


def test_files_of_arrays_hold_nothing_else(models, tmp_path):
    """Objects, damage, claims beyond the file, and arrays that make no model."""
    path = tmp_path / "model.npz"
    np.savez(path, about=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="plain array"):
        read_arrays(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="not a file of arrays"):
        read_arrays(path)
    whole = fold(read_fasttext(models["six"]))
    whole.write(path)
    arrays = dict(read_arrays(path))
    for name, other in (
        ("words", None), ("word_values", arrays["word_values"][:-1]), ("word_values", arrays["word_values"][:, :1]),
        ("about", np.frombuffer(b"[]", np.uint8)), ("bucket_values", np.full((1000, 6), np.inf, np.float32)),
        *(("about", np.frombuffer(json.dumps({**json.loads(arrays["about"].tobytes()), **wrong}).encode(), np.uint8))
          for wrong in ({"word_ngrams": 10**30}, {"minn": float("inf")}, {"maxn": -(10**30)})),
        ("about", np.frombuffer(b"[" * 100_000, np.uint8)),
        ("words", np.frombuffer(b"a\0a", np.uint8)), ("bucket_values", arrays["bucket_values"].astype(int)),
    ):  # fmt: skip
        wrong = {k: v for k, v in arrays.items() if k != name} | ({} if other is None else {name: other})
        write_arrays(path, wrong)
        with pytest.raises(InputError, match="not a folded model"):
            Folded.read(path)
    write_arrays(path, arrays)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError):
        Folded.read(path)
