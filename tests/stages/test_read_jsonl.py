"""read.jsonl: what is read, how it is cut, what is set aside and what stops the run."""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import random
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_cases import everything, texts

from curate.errors import InputError
from curate.stages.catalog import Catalog, Unhashed
from curate.stages.read_jsonl import ReadJsonl
from curate.stages.reading_zstd import frames
from curate.stages.source import SetAside


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in rows)


def zst(*parts: bytes, sizes: bool = True) -> bytes:
    packer = zstandard.ZstdCompressor(write_content_size=sizes)
    return b"".join(packer.compress(p) for p in parts)


def gz(data: bytes, level: int = 9) -> bytes:
    """The same bytes at any time: test ids are made of them, and every process must collect the same ids."""
    return gzip.compress(data, level, mtime=0)


def read(folder: Path, content: bytes, name: str = "a.jsonl", split_bytes: int = 1 << 20, **settings):
    (folder / name).write_bytes(content)
    return everything(ReadJsonl(paths=[name], **settings), folder, split_bytes)


def test_a_row_becomes_a_document(tmp_path):
    """Text, own id, own source and the other fields each find their place."""
    row = {"id": 7, "text": "Grüße", "source": "web", "z": 1, "a": [1, None]}
    (found,), asides = read(tmp_path, lines(row, {"text": " x"}))[0][:1], []
    assert found["origin"] == "a.jsonl#7" and found["source"] == "web" and found["meta"] == '{"a":[1,null],"z":1}'
    second = read(tmp_path, lines(row, {"text": " x"}))[0][1]
    assert second["source"] == "step" and second["origin"].startswith("a.jsonl#@") and second["meta"] == "{}"
    assert not asides


def test_settings_choose_fields(tmp_path):
    """text, id, source and keep name other fields; a fixed source leaves the row's own in meta."""
    row = {"body": "x", "key": "k", "id": 1, "source": "s", "more": 2}
    rows, _ = read(tmp_path, lines(row), text="body", id="key", source="fixed")
    assert rows[0]["origin"] == "a.jsonl#k" and rows[0]["source"] == "fixed"
    assert json.loads(rows[0]["meta"]) == {"id": 1, "source": "s", "more": 2}
    rows, _ = read(tmp_path, lines(row), text="body", id=None, keep=["more", "absent", "id"])
    assert rows[0]["origin"] == "a.jsonl#@0" and rows[0]["meta"] == '{"id":1,"more":2}'


def test_each_bad_row_is_set_aside_with_its_reason(tmp_path):
    """Bad rows are set aside in order, one line of detail each, and never stop their neighbours."""
    bad = [
        (b"{not json", "malformed"),
        (b"[1]", "malformed"),
        (b'{"text": "\\ud800"}', "malformed"),
        (b'{"text": NaN}', "malformed"),
        (b'{"text": "\xff"}', "invalid_utf8"),
        (b'{"id": 1}', "no_text"),
        (b'{"text": null}', "no_text"),
        (b'{"text": 3}', "no_text"),
        (b'{"text": ""}', "no_text"),
        ('{"text": " \\n\u3000\u00a0"}'.encode(), "no_text"),
        (b'{"text": "' + b"x" * 101 + b'"}', "too_large"),
        (b'{"text": "ok", "m": ' + b"[" * 400 + b"]" * 400 + b"}", "malformed"),
    ]
    content = b""
    for number, (line, _) in enumerate(bad):
        content += line + b"\n" + lines({"id": f"g{number}", "text": "good"})
    rows, asides = read(tmp_path, content, max_document_bytes=100)
    assert len(rows) == len(bad)
    assert [a.reason for a in asides] == [reason for _, reason in bad]
    assert all("byte " in a.detail and len(a.detail) < 250 for a in asides)


@pytest.mark.parametrize("settings", [{}, {"keep": ["text", "more"]}, {"text": "body"}, {"max_document_bytes": 150}])
@pytest.mark.parametrize("broken", [False, True])
def test_many_lines_are_read_as_one_by_one(tmp_path, monkeypatch, settings, broken):
    """Blocks that are taken apart by a kernel give the batches, and the rows set aside, that single lines give."""
    rng = random.Random(5)
    kinds = [
        lambda i: {
            "id": i,
            "text": f"é {i}\n" * rng.randrange(30),
            "body": "b" * rng.randrange(1, 9),
            "more": [i, {"text": 1}],
        },
        lambda i: {"text": f"\\{i}" * rng.randrange(20), "source": "s", "body": f"{i}"},
        lambda i: {"text": rng.choice([None, 3, " ", "", "x" * 200]), "body": "\U0001f600", "id": f"@{i}"},
        lambda i: {
            "id": 1 << 70,
            "text": "x",
            "more": functools.reduce(lambda x, _: [x], range(rng.choice([3, 90, 400])), 0),
        },
    ]
    found = [lines(rng.choices(kinds, [9, 9, 2, 1])[0](i)) for i in range(400)]
    found[7:9] = [b"\n", b'{"text": "\xff"}\r\n']
    found[30:30] = [b'{"text": "a", }\n'] if broken else [b'{"text": "a"\n']
    stage = ReadJsonl(paths=["a.jsonl"], **settings)
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"".join(found)[:-1])
    (split,) = stage.splits(tmp_path, Catalog(), 1 << 20)
    monkeypatch.setattr("curate.stages.reading_json.BATCH_BYTES", 2000)
    monkeypatch.setattr("curate.stages.reading_lines.BLOCK", 9000)
    seen = []
    for least in (1 << 30, 0):
        monkeypatch.setattr("curate.stages.read_jsonl._MANY_BYTES", least)
        seen.append(list(stage.read(split, "step")))
    assert seen[0] == seen[1]
    assert sum(isinstance(x, SetAside) for x in seen[0]) > 9
    assert sum(not isinstance(x, SetAside) for x in seen[0]) > 9 or settings


def test_a_number_and_its_digits_are_one_id(tmp_path):
    """Records that share an own id share the row id, in whatever split they are: the writer finds them."""
    rows, asides = read(tmp_path, lines({"id": "5", "text": "a"}, {"id": 5, "text": "b"}))
    assert texts(rows) == ["a", "b"] and rows[0]["id"] == rows[1]["id"] and not asides


def test_own_ids_never_meet_positions(tmp_path):
    """An own id that looks like a position is another row."""
    rows, asides = read(tmp_path, lines({"text": "a"}, {"id": "@0", "text": "b"}))
    assert len({r["id"] for r in rows}) == 2 and rows[1]["origin"] == "a.jsonl#@@0" and not asides


def test_mark_crlf_blank_lines_and_no_last_feed(tmp_path):
    """A byte order mark, CRLF, blank lines and a missing last line feed are all understood."""
    content = b'\xef\xbb\xbf{"text": "a"}\r\n\r\n  \n{"text": "b\\r\\n"}'
    rows, asides = read(tmp_path, content)
    assert texts(rows) == ["a", "b\r\n"] and not asides
    assert [r["origin"] for r in rows] == ["a.jsonl#@0", "a.jsonl#@23"]


def test_content_hash_ignores_form_and_line_ends(tmp_path):
    """CRLF and decomposed letters make other texts with the same content_hash."""
    rows, _ = read(tmp_path, lines({"text": "é\n"}, {"text": "e\u0301\r\n"}))
    assert rows[0]["content_hash"] == rows[1]["content_hash"] and rows[0]["id"] != rows[1]["id"]


def test_a_line_without_end_is_not_held(tmp_path):
    """A line far over the limit is passed over, also where it crosses splits; its neighbours are read."""
    limit = 6 * 10 + (1 << 20)
    content = lines({"text": "a"}) + b'{"text": "' + b"x" * (20 << 20) + b'"}\n' + lines({"text": "b"})
    for name, data in (("a.jsonl", content), ("a.jsonl.gz", gz(content, 1)), ("a.jsonl.zst", zst(content))):
        for split_bytes in (1 << 20, 1 << 30, 4096 if name.endswith("l") else 1 << 16):
            rows, (aside,) = read(tmp_path, data, name, split_bytes, max_document_bytes=10)
            assert texts(rows) == ["a", "b"] and aside.reason == "too_large" and str(limit) in aside.detail


def test_ids_do_not_depend_on_where_the_root_is(tmp_path):
    """The same file below another root has the same ids; under another name, or in another step, others."""
    content = lines({"text": "a"}, {"id": 1, "text": "b"})
    found = []
    for root, name in (("one", "x/a.jsonl"), ("two/deep", "x/a.jsonl"), ("one", "x/b.jsonl")):
        path = tmp_path / root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        rows, _ = everything(ReadJsonl(paths=[str(tmp_path / root)]), tmp_path)
        found.append([(r["id"], r["origin"]) for r in rows])
        path.unlink()
    assert found[0] == found[1] and found[0][0][0] != found[2][0][0]
    (tmp_path / "a.jsonl").write_bytes(content)
    stage = ReadJsonl(paths=["*.jsonl"])
    one, other = (everything(stage, tmp_path, step=s)[0] for s in ("s", "t"))
    assert one[0]["id"] != other[0]["id"] and one[0]["origin"] == other[0]["origin"] == "a.jsonl#@0"


def test_folders_globs_and_files_are_read_once_in_order(tmp_path):
    """A folder gives its known names, sorted, nothing hidden; a file named twice is read once."""
    for name in ("b.jsonl", "a/z.ndjson", ".h.jsonl", ".g/x.jsonl", "notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(lines({"text": name}))
    assert texts(everything(ReadJsonl(paths=["in"]), tmp_path)[0]) == ["a/z.ndjson", "b.jsonl"]
    assert texts(everything(ReadJsonl(paths=["in/b.jsonl", "in/**/*.ndjson", "in/*.jsonl"]), tmp_path)[0]) == [
        "b.jsonl",
        "a/z.ndjson",
    ]
    names = [s.name for s in ReadJsonl(paths=["in/**/*.ndjson"]).splits(tmp_path, Catalog(), 1 << 20)]
    assert names == ["a/z.ndjson"]


def test_a_file_by_two_names_is_read_once(tmp_path):
    """Through a linked folder, in a circle of links, and whatever else is named beside it."""
    (tmp_path / "in/2024-01").mkdir(parents=True)
    (tmp_path / "in/2024-01/a.jsonl").write_bytes(lines({"text": "a"}))
    for link, to in (("latest", "2024-01"), ("2024-01/up", ".."), ("2024-01/me", "."), ("me", ".")):
        (tmp_path / "in" / link).symlink_to(to, target_is_directory=True)
    (tmp_path / "b.jsonl").write_bytes(lines({"text": "b"}))
    for paths in ("in", "in/*/a.jsonl", "in/**/*.jsonl", "in/**/2024-01/**/a.jsonl", "in/lat*/*.jsonl"):
        assert texts(everything(ReadJsonl(paths=[paths]), tmp_path)[0]) == ["a"], paths
        assert texts(everything(ReadJsonl(paths=[paths, "b.jsonl"]), tmp_path)[0]) == ["a", "b"], paths
    (split,) = ReadJsonl(paths=["in/*/a.jsonl"]).splits(tmp_path, Catalog(), 1 << 20)
    assert split.name == "2024-01/a.jsonl"
    with pytest.raises(InputError, match="can't be looked at: File name too long"):
        ReadJsonl(paths=["x" * 300]).splits(tmp_path, Catalog(), 1 << 20)


def test_forms_of_one_file_give_the_same_rows(tmp_path):
    """Plain, gz, gz of many members, zst of one or many frames, with and without sizes: same texts, same positions."""
    content = lines(*({"text": f"row {n} " + "x" * (n % 50)} for n in range(300)))
    half = len(content) // 2 + 7
    forms = {
        "a.jsonl": content,
        "a.jsonl.gz": gz(content[:half]) + gz(b"") + gz(content[half:]) + b"\0" * 512,
        "a.json.gz": gz(content),
        "a.jsonl.zst": zst(content),
        "b.jsonl.zst": zst(content[:half], b"", content[half:]) + b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc",
        "c.jsonl.zst": b"\x5f\x2a\x4d\x18\x00\x00\x00\x00" + zst(content[:half], content[half:], sizes=False),
    }
    expected = None
    for name, data in forms.items():
        for split_bytes in (100, 3000, 1 << 20):
            rows, asides = read(tmp_path, data, name, split_bytes)
            found = [(r["origin"].removeprefix(name), r["text"], r["content_hash"]) for r in rows]
            expected = expected or found
            assert found == expected and not asides, (name, split_bytes)


LINE = st.one_of(
    st.builds(lambda t: json.dumps({"text": t}, ensure_ascii=False).encode(), st.text(max_size=12)),
    st.builds(lambda i, t: json.dumps({"id": i, "text": t}).encode(), st.integers(0, 10**9), st.just("x")),
    st.sampled_from([b"", b"  ", b"{", b"[]", b'{"text":"\xff"}', b'{"text":1}\r']),
)


@settings(max_examples=60)
@given(st.lists(LINE, max_size=12), st.booleans(), st.integers(1, 60), st.lists(st.integers(0, 400), max_size=6))
def test_any_cut_gives_the_same_rows(found, last_feed, split_bytes, cuts):
    """Cut at any bytes, as plain file, in zst frames or from a stream, the rows are those of the whole file."""
    # Ids are made distinct: whether an id was seen before is asked within a split only.
    unique = [line.replace(b'{"id": ', b'{"id": ' + str(n + 1).encode()) for n, line in enumerate(found)]
    content = b"\n".join([*unique, b""]) if last_feed else b"\n".join(unique)
    if not content:
        return
    folder = Path(tempfile.mkdtemp())
    try:
        whole = read(folder, content, "w.jsonl", 1 << 30)

        def same(result, name):
            rows, asides = result
            assert [(r["origin"].removeprefix(name), r["text"], r["meta"]) for r in rows] == [
                (r["origin"].removeprefix("w.jsonl"), r["text"], r["meta"]) for r in whole[0]
            ]
            assert [(a.origin.removeprefix(name), a.reason, a.detail) for a in asides] == [
                (a.origin.removeprefix("w.jsonl"), a.reason, a.detail) for a in whole[1]
            ]

        again = read(folder, content, "w.jsonl", split_bytes)
        assert again == whole
        edges = [0, *sorted(min(c, len(content)) for c in cuts), len(content)]
        parts = [content[a:b] for a, b in itertools.pairwise(edges)]
        same(read(folder, zst(*parts), "f.jsonl.zst", split_bytes), "f.jsonl.zst")
        same(read(folder, zst(*parts, sizes=False), "n.jsonl.zst", split_bytes), "n.jsonl.zst")
        same(read(folder, gz(content), "g.jsonl.gz", split_bytes), "g.jsonl.gz")
    finally:
        shutil.rmtree(folder)


def test_frames_are_found_without_decompressing(tmp_path):
    """The reader of frame headers agrees with libzstd on every kind of header."""
    parts = [b"", b"a", b"ab" * 200, bytes(70_000), bytes(range(256)) * 2000]
    data = b""
    expected = []
    for size, checksum in ((True, True), (True, False), (False, True)):
        packer = zstandard.ZstdCompressor(write_content_size=size, write_checksum=checksum)
        for part in parts:
            frame = packer.compress(part)
            expected.append((len(data), len(data) + len(frame)))
            data += frame
    (tmp_path / "f.zst").write_bytes(data)
    found = list(frames(str(tmp_path / "f.zst")))
    assert [(f.start, f.stop) for f in found] == expected
    assert [f.content for f in found[:5]] == [len(p) for p in parts] == [f.content for f in found[5:10]]


def test_frames_become_splits(tmp_path):
    """A file of many frames with sizes is read in parts, none of them sequential, and parts are known by content."""
    content = [lines(*({"text": f"{part} {n}"} for n in range(100))) for part in range(8)]
    (tmp_path / "a.jsonl.zst").write_bytes(zst(*content))
    splits = ReadJsonl(paths=["a.jsonl.zst"]).splits(tmp_path, Catalog(), 2000)
    assert len(splits) > 3 and not any(s.sequential for s in splits) and len({s.digest for s in splits}) == len(splits)
    (tmp_path / "b.jsonl.zst").write_bytes(zst(b"".join(content)))
    (one,) = ReadJsonl(paths=["b.jsonl.zst"]).splits(tmp_path, Catalog(), 1000)
    assert one.sequential
    (small,) = ReadJsonl(paths=["b.jsonl.zst"]).splits(tmp_path, Catalog(), 1 << 20)
    assert not small.sequential


def test_planning_does_not_read_a_big_file(tmp_path):
    """A sparse file of 64 GB is planned at once."""
    path = tmp_path / "big.jsonl"
    with path.open("wb") as file:
        file.write(lines({"text": "x"}) * 400)
        file.truncate(64 << 30)
    began = time.monotonic()
    splits = ReadJsonl(paths=["big.jsonl"]).splits(tmp_path, Unhashed(), 64 << 20)
    assert len(splits) == 1024 and splits[-1].stop == 64 << 30 and time.monotonic() - began < 2


def test_batches_stay_small(tmp_path):
    """No batch has more than 4,096 rows or much more than 8 MB of text."""
    rows = [{"text": "x"}] * 9000 + [{"text": "y" * 3_000_000}] * 7
    (tmp_path / "a.jsonl").write_bytes(lines(*rows))
    stage = ReadJsonl(paths=["a.jsonl"])
    (split,) = stage.splits(tmp_path, Catalog(), 1 << 30)
    sizes = [(b.num_rows, b.column("text").nbytes) for b in stage.read(split, "s") if not isinstance(b, SetAside)]
    assert sum(n for n, _ in sizes) == 9007 and max(n for n, _ in sizes) <= 4096
    assert max(size for _, size in sizes) < 12_000_000


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl.gz", lines({"text": "x"}), "says gzip, the content is not"),
        ("a.jsonl.zst", gz(b"{}"), "says zstd, the content is gzip"),
        ("a.jsonl", gz(b"{}"), "says JSON lines, the content is gzip"),
        ("a.jsonl", b"PK\x03\x04abc", "is zip"),
        ("a.ndjson", zst(b"{}"), "is zstd"),
        ("a.jsonl", b"PAR1abc", "is Parquet"),
        ("a.jsonl", b'{"a":\0}', "binary"),
        ("a.jsonl", '{"text": "x"}'.encode("utf-16"), "is UTF-16"),
        ("a.json", b' [\n{"text": "x"}]', "one JSON array"),
        ("a.csv", b"text\nx\n", "ends in none of .jsonl"),
        ("a.jsonl.zst", zst(lines({"text": "x" * 500}))[:-3], "ends inside the zstd frame that begins at byte 0"),
        ("a.jsonl.zst", zst(b"{}\n") + b"junk!", "no zstd frame begins at byte"),
        ("a.jsonl.gz", gz(lines({"text": "x" * 500}))[:-9], "ends inside a gzip member, at byte"),
        ("a.jsonl.gz", gz(lines({"text": "x"})) + b"junk!", "damaged gzip data"),
    ],
)
def test_a_bad_file_stops_the_run(tmp_path, name, content, says):
    """What is empty, cut short, or not what its name says is an error with its place and a cure."""
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, content, name)
    assert name in caught.value.place and caught.value.cure


def test_damage_inside_a_zst_frame_is_found(tmp_path):
    """A flipped byte that the frame's headers do not show stops the run while reading."""
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(lines({"text": "some words here"})))
    packed[-1] ^= 1
    with pytest.raises(InputError, match="damaged zstd data"):
        read(tmp_path, bytes(packed), "a.jsonl.zst")


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["gone.jsonl"], "no such file or folder"),
        (["x*.jsonl"], "nothing matches"),
        (["gone/*.jsonl"], "no such folder, so nothing matches"),
        (["empty"], "no file with .jsonl"),
        (["ftp://host/a.jsonl"], "'ftp' is no protocol that is read"),
        (["one/a.jsonl", "two/a.jsonl"], "two inputs are called 'a.jsonl'"),
        (["link.jsonl"], "leads nowhere"),
    ],
)
def test_bad_paths_are_told_apart(tmp_path, paths, says):
    """Each way in which a path can be wrong has its own message, place and cure."""
    for folder in ("empty", "one", "two"):
        (tmp_path / folder).mkdir()
        if folder != "empty":
            (tmp_path / folder / "a.jsonl").write_bytes(lines({"text": folder}))
    (tmp_path / "link.jsonl").symlink_to("nowhere")
    with pytest.raises(InputError, match=says) as caught:
        everything(ReadJsonl(paths=paths), tmp_path)
    assert caught.value.place and caught.value.cure


def test_moved_paths_keep_the_fingerprint():
    """Where files lie is no part of the stage's identity; what is read from them is."""
    assert ReadJsonl(paths=["a"]).fingerprint() == ReadJsonl(paths=["b"]).fingerprint()
    assert ReadJsonl(paths=["a"]).fingerprint() != ReadJsonl(paths=["a"], text="body").fingerprint()
