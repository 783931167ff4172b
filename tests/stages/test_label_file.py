"""label.file: labels of a file find their documents; what is no label file is one line with file and row."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import batch, context

from curate.errors import InputError
from curate.stages.label_file import LabelFile
from curate.stages.label_rows import keys_of, read_labels

DOCS = batch(["one", "two", "three", "four"], ["a", "a", "b", "b"])


def labels(path, **settings):
    """The labels that the four documents get."""
    stage = LabelFile(labels=str(path), **settings)
    signals = stage.measure(DOCS, context(labels=path))
    assert {n: v.type for n, v in signals.items()} == dict(stage.signals)
    return signals["label"].to_pylist()


def refused(path, **settings):
    """The line that a bad file gives."""
    with pytest.raises(InputError) as error:
        labels(path, **settings)
    line = str(error.value)
    assert "\n" not in line
    assert str(path) in line
    return line


ROWS = [{"origin": "1", "label": 1}, {"origin": "3", "label": 0, "note": "x"}, {"origin": "gone", "label": 5}]


@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_json_lines(tmp_path, packed):
    """Plain or packed, blank lines passed over; columns that are not asked for may come and go."""
    data = "\n\n".join(map(json.dumps, ROWS)).encode()
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[packed]
    path = tmp_path / f"l.jsonl{packed}"
    path.write_bytes(pack(data))
    assert labels(path) == [None, 1, None, 0]


def test_csv_and_parquet(tmp_path):
    """Names of classes, grades, quoted keys; an empty label is none; CRLF and a byte order mark are understood."""
    path = tmp_path / "l.csv"
    path.write_bytes('\ufeffwho,what\r\n"1",good\r\n2,bad\r\n0,\r\n3,4.0\r\n'.encode())
    assert labels(path, key_column="who", column="what", classes={"good": 1, "bad": 0}) == [None, 1, 0, 4]
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table({"origin": ["2", "0"], "label": [2.0, None]}), path)
    assert labels(path) == [None, None, 2, None]
    pq.write_table(pa.table({"id": DOCS.column("id").slice(1, 2), "label": [True, False]}), path)
    assert labels(path, key="id") == [None, 1, 0, None]


@pytest.mark.parametrize("key", ["id", "content_hash"])
def test_hex_keys(tmp_path, key):
    """Ids and content hashes as 32 hex digits of either case."""
    path = tmp_path / "l.jsonl"
    values = [v.hex() for v in DOCS.column(key).to_pylist()]
    path.write_text("\n".join(json.dumps({key: v, "label": 1}) for v in (values[0].upper(), values[2])))
    assert labels(path, key=key) == [1, None, 1, None]


def test_unlabelled_documents_stay_unless_asked(tmp_path):
    """`only_labelled` decides, and is not part of what is measured."""
    path = tmp_path / "l.csv"
    path.write_text("origin,label\n1,1\n")
    for stage, gone in ((LabelFile(labels="x"), 0), (LabelFile(labels="x", only_labelled=True), 3)):
        signals = stage.measure(DOCS, context(labels=path))
        assert stage.decide(signals).to_pylist().count("unlabelled") == gone
    assert (
        LabelFile(labels="x").measure_fingerprint() == LabelFile(labels="x", only_labelled=True).measure_fingerprint()
    )


@pytest.mark.parametrize(("text", "row", "words"), [
    ("origin,label\n1,1\n2,7\n", 3, "label '7' is not between 0 and 5"),
    ("origin,label\n1,1\n2,0.5\n", 3, "label '0.5' is not whole"),
    ("origin,label\n1,1\n\n2,great\n", 4, "label 'great' is no number and no known class"),
    ("origin,label\n1,nan\n", 2, "label 'nan' is not whole"),
    ("origin,label\n1,1e999\n", 2, "label '1e999' is not whole"),
    ("origin,label\n1,-1\n", 2, "label '-1' is not between"),
    ("origin,label\n1,1\n2,0\n1,0\n", 4, "'1' has label 0 here, and 1 in row 2"),
    ("origin,label\n,1\n", 2, "no 'origin'"),
    ("origin,label\n1,1,1\n", 2, "3 fields, the header has 2"),
    ('origin,label\n"1,1\n', 2, "no CSV"),
    ("orign,label\n1,1\n", 1, "no column 'origin' (setting key); did you mean 'orign'?"),
    ("origin,labels\n1,1\n", 1, "no column 'label' (setting column); did you mean 'labels'?"),
    ("origin,label,label\n1,1,1\n", 1, "two columns 'label'"),
    ("origin,label\n", None, "no row with a label"),
    ("", None, "no column 'origin'"),
])  # fmt: skip
def test_bad_csv(tmp_path, text, row, words):
    """One line with the file, the row as an editor counts it, and the cure."""
    path = tmp_path / "l.csv"
    path.write_text(text)
    line = refused(path)
    assert words in line
    if row:
        assert f"{path}:{row}: " in line


def test_bad_files(tmp_path):
    """Other kinds, cut archives, wrong keys, no such file."""
    path = tmp_path / "l.jsonl"
    path.write_text('{"origin": "1", "label": 1}\n{"origin": "2", "lab\n')
    assert f"{path}:2: no JSON" in refused(path)
    path.write_text("[1]\n")
    assert "no JSON object" in refused(path)
    path.write_text('{"origin": 7, "label": 1}\n')
    assert f"{path}:1: 'origin' is no text" in refused(path)
    path.write_text('{"id": "abc", "label": 1}\n')
    assert f"{path}:1: 'id' is 'abc', not 32 hex digits" in refused(path, key="id")
    path.write_text(json.dumps({"id": "g" * 32, "label": 1}))
    assert "not 32 hex digits" in refused(path, key="id")
    path.write_bytes(gzip.compress(b'{"origin": "1", "label": 1}\n' * 50)[:-9])
    assert "gzip" in refused(path)
    assert "no such file" in refused(tmp_path / "none.jsonl")
    assert "no such file" in refused(tmp_path)
    other = tmp_path / "l.txt"
    other.write_text("1 1")
    assert "the name says neither" in refused(other)
    other = tmp_path / "l.parquet"
    other.write_text("1 1")
    assert "no Parquet file" in refused(other)


@pytest.mark.parametrize(("origin", "label", "said"), [
    (pa.array([1, 2]), [1, 0], "column 'origin' holds int64, not text"),
    (pa.array(["1", "2"]), [[1], [0]], "column 'label' holds list<element: int64>, not labels"),
    (pa.nulls(2), [1, 0], "no 'origin'"),
    (pa.array([b"\xff", b"2"]), [1, 0], "Invalid UTF8"),
])  # fmt: skip
def test_parquet_columns_that_are_none(tmp_path, origin, label, said):
    """What Arrow has no function for is one line, too."""
    pq.write_table(pa.table({"origin": origin, "label": label}), tmp_path / "l.parquet")
    assert said in refused(tmp_path / "l.parquet")


def test_parquet_stores_text_in_several_ways(tmp_path):
    """Dictionaries, as pandas' categories, and bytes that are text."""
    for make in (lambda x: x.dictionary_encode(), lambda x: x.cast(pa.binary()), lambda x: x.cast(pa.string_view())):
        rows = {"origin": make(pa.array(["1", "3"])), "label": pa.array(["1", "0"]).dictionary_encode()}
        pq.write_table(pa.table(rows), tmp_path / "l.parquet")
        assert labels(tmp_path / "l.parquet") == [None, 1, None, 0]


def test_a_changed_file_is_read_again(tmp_path):
    """The cache of this process knows files by size and time."""
    path = tmp_path / "l.csv"
    path.write_text("origin,label\n1,1\n")
    assert labels(path) == [None, 1, None, None]
    path.write_text("origin,label\n1,1\n2,0\n")
    assert labels(path) == [None, 1, 0, None]


@settings(max_examples=60)
@given(
    st.dictionaries(st.text(min_size=1, max_size=6), st.one_of(st.integers(0, 5), st.none()), min_size=1, max_size=30),
    st.lists(st.text(max_size=6), max_size=40),
    st.randoms(use_true_random=False),
)
def test_equal_to_a_dict(tmp_path_factory, known, asked, random):
    """The join is what a dict says, whatever the order of the file's rows and however often a row comes."""
    rows = list(known.items()) + random.choices(list(known.items()), k=3)
    random.shuffle(rows)
    path = tmp_path_factory.mktemp("l") / "l.jsonl"
    path.write_text("\n".join(json.dumps({"origin": k, "label": v}) for k, v in rows))
    found = read_labels(path, "origin", "label", "origin", {})
    asked = asked + list(known)
    expected = [known.get(a) for a in asked]
    assert found.of(keys_of(pa.array(asked, pa.string()), "origin")).to_pylist() == expected
    assert found.of(keys_of(pa.array([*asked, None], pa.string()).slice(1), "origin")).to_pylist() == [
        *expected[1:],
        None,
    ]


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.binary(min_size=16, max_size=16).map(lambda b: b[:2] + bytes(13) + b[-1:]), st.integers(0, 5), min_size=1
    )
)
def test_keys_with_zeros(tmp_path_factory, known):
    """Sixteen bytes are compared as a whole, zeros at their end and inside included."""
    path = tmp_path_factory.mktemp("l") / "l.jsonl"
    path.write_text("\n".join(json.dumps({"id": k.hex(), "label": v}) for k, v in known.items()))
    found = read_labels(path, "id", "label", "id", {})
    asked = [*known, *(k[:1] + bytes(15) for k in known)]
    column = pa.array(asked, pa.binary(16))
    assert found.of(keys_of(column, "id")).to_pylist() == [known.get(a) for a in asked]
