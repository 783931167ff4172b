"""dedup.substring against a slow version of its definition, and against planted passages."""

from __future__ import annotations

import random
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, cut_out, documents, in_parts, results, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages import dedup_substring
from curate.stages.base import PART, ROW
from curate.stages.cuts_spans import Spans
from curate.stages.dedup_substring import DedupSubstring
from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.words import words


def keep_order(docs: pa.Table) -> list[int]:
    return sorted(range(docs.num_rows), key=lambda i: (docs["content_hash"][i].as_py(), docs["id"][i].as_py()))


def repeated(rows: list, order: list[int], length: int) -> list[list[tuple[int, int]]]:
    """The definition: windows that began before, in the same row or in an earlier one."""
    seen, found = set(), [[] for _ in rows]
    for i in order:
        for at in range(len(rows[i]) - length + 1):
            window = tuple(rows[i][at : at + length])
            if window in seen:
                found[i].append((at, at + length))
            seen.add(window)
    return found


def twin(texts: list[str], stage: DedupSubstring) -> dict[int, str]:
    """By row what is left of it, where something was cut."""
    docs = documents(texts)
    order = keep_order(docs)
    if stage.least_tokens:
        view = words(*buffers(docs.column("text")), "folded")
        rows = [view.hashes[a:b].tolist() for a, b in zip(view.rows[:-1], view.rows[1:], strict=True)]
        found = repeated(rows, order, stage.length)
        spans = [
            [(int(view.starts[view.rows[i] + a]), int(view.stops[view.rows[i] + b - 1])) for a, b in merged(pairs)]
            for i, pairs in enumerate(found)
        ]
    else:
        found = repeated([t.encode() for t in texts], order, stage.length)
        spans = [[inwards(texts[i].encode(), a, b) for a, b in merged(pairs)] for i, pairs in enumerate(found)]
    return {i: cut_out(texts[i], s) for i, s in enumerate(spans) if s}


def merged(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[list[int]] = []
    for a, b in pairs:
        if out and a <= out[-1][1]:
            out[-1][1] = b
        else:
            out.append([a, b])
    return [(a, b) for a, b in out]


def inwards(raw: bytes, start: int, stop: int) -> tuple[int, int]:
    """To whole characters, then to whole words of up to 64 bytes; a sign is left between two words."""

    def letter(byte: int) -> bool:
        return byte >= 128 or chr(byte).isalnum()

    while start < stop and start and raw[start] & 0xC0 == 0x80:
        start += 1
    while start < stop < len(raw) and raw[stop] & 0xC0 == 0x80:
        stop -= 1
    ends = [i for i in range(start, min(stop, start + 65)) if not letter(raw[i])]
    if start and letter(raw[start - 1]) and ends:
        start = ends[0]
    ends = [i for i in range(stop, max(start, stop - 65), -1) if not letter(raw[i - 1])]
    if stop < len(raw) and letter(raw[stop]) and ends:
        stop = ends[0]
    if 0 < start < stop < len(raw) and letter(raw[start - 1]) and letter(raw[stop]) and not letter(raw[stop - 1]):
        stop -= 1
    return start, stop


def left(stage: DedupSubstring, texts: list[str], **how) -> dict[int, str]:
    docs = documents(texts)
    where = {i: n for n, i in enumerate(docs.column("id").to_pylist())}
    found = verdicts(stage, docs, **how)
    return {where[row["id"]]: row["text"] for row in found.to_pylist()}


PIECES = st.sampled_from(
    ["a", "b", "ab", "abab", "aaaa", " the end", "中文", "é", "\n", "xyz ", "begin the end", "🙂🙂"]
)
CORPUS = st.lists(st.lists(PIECES, max_size=30).map("".join), max_size=8)


@given(CORPUS, st.integers(16, 24), st.booleans())
@settings(max_examples=15)
def test_bytes_by_brute_force(texts, length, many):
    """Every window that began before is cut and nothing else, also where all windows' hashes meet."""
    stage = DedupSubstring(least_bytes=length)
    with pytest.MonkeyPatch.context() as patch:
        if many:
            patch.setattr(dedup_substring, "_MOST", 1)
            patch.setattr(dedup_substring, "_TEXTS_BYTES", 500)
        assert left(stage, texts, parts=2, partitions=3, batch_rows=3) == twin(texts, stage)


@given(st.lists(st.lists(st.sampled_from(["a", "B", "b,", "c. ", "中", "(d)"]), max_size=40).map(" ".join), max_size=6))
@settings(max_examples=12)
def test_words_by_brute_force(texts):
    """The same of words: signs, case and white space between them don't count."""
    stage = DedupSubstring(least_tokens=5)
    assert left(stage, texts, parts=2, partitions=2, batch_rows=2) == twin(texts, stage)


@given(CORPUS, st.sampled_from([{"least_bytes": 16}, {"least_tokens": 4}]), st.booleans())
@settings(max_examples=12)
def test_earlier_places(texts, least, many):
    """What a cut names is the same there, symbol for symbol, and begins before it: in a document before it, or in its own."""
    stage, docs = DedupSubstring(**least), documents(texts)
    ids, order = docs.column("id").to_pylist(), keep_order(docs)
    view = words(*buffers(docs.column("text")), "folded")
    symbols = [
        view.hashes[a:b].tolist() if stage.least_tokens else list(text.encode())
        for a, b, text in zip(view.rows[:-1], view.rows[1:], texts, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup_substring, "_MOST", 1 if many else 1024)
        rng = random.Random(len(texts))
        parts = in_parts(docs, 2, rng)
        batches = [Batch(b) for part in parts for b in part.combine_chunks().to_batches(max_chunksize=3)]
        rows = results(stage, batches, 3, rng)["cuts"]
    for row in rows.to_pylist():
        mine = row[ROW] + (parts[0].num_rows if row[PART] else 0)
        start, there, size = row["start"], row["kept_start"], row["stop"] - row["start"]
        kept = ids.index(row["kept"])
        assert symbols[kept][there : there + size] == symbols[mine][start : start + size]
        assert (order.index(kept), there) < (order.index(mine), start)


def story(rng: random.Random, size: int) -> str:
    return " ".join(f"w{rng.randrange(10**6)}" for _ in range(size // 7))


def test_planted_passages():
    """Passages of 800 bytes and more, pasted into other texts with other beginnings and ends: all are found, to the byte;
    of 790 bytes none is, and of what stands once nothing goes."""
    rng = random.Random(5)
    long = [story(rng, 900)[: 800 + 20 * (i % 4)] for i in range(12)]
    short = [story(rng, 900)[:790] for _ in range(12)]
    texts = [
        f"<{story(rng, rng.randrange(3000))}|{long[i % 12]}|{story(rng, 2000)}|{short[i % 12]}|{story(rng, 90)}>"
        for i in range(60)
    ]
    found = left(DedupSubstring(), texts, parts=3, partitions=4)
    first = {}
    for i in keep_order(documents(texts)):
        first.setdefault(i % 12, i)
    assert set(found) == set(range(60)) - set(first.values()), "all but the first in keep order"
    for i, text in found.items():
        gone = len(texts[i]) - len(text)
        assert len(long[i % 12]) <= gone <= len(long[i % 12]) + 2, "the bars on both sides are the same everywhere"
        assert short[i % 12] in text


def test_what_is_cut_stands_earlier():
    """Nothing is lost: each text that is cut can be put together again of what is left of all of them."""
    rng = random.Random(6)
    parts = [story(rng, 400) for _ in range(14)]
    texts = [". ".join(parts[i] for i in rng.choices(range(14), k=8)) for _ in range(40)]
    stage = DedupSubstring(least_bytes=120)
    found = left(stage, texts)
    kept = [found.get(i, t) for i, t in enumerate(texts)]
    assert sum(map(len, kept)) < 14 * 500
    everything = "\n".join(kept)
    for part in parts:
        assert not any(part in t for t in texts) or all(word in everything for word in part.split())


@pytest.mark.parametrize("least", [{"least_bytes": 100}, {"least_tokens": 12}])
def test_result_does_not_depend_on_partitions_or_order(least):
    """The same texts from any cut of the corpus."""
    rng = random.Random(7)
    passages = [story(rng, 150) for _ in range(6)]
    texts = [f"{story(rng, 300)} {passages[i % 6]} {passages[(i * 5) % 6]} {story(rng, 50)}" for i in range(40)]
    texts += ["-" * 5000, "- " * 3000, "", "short", texts[3], f"{texts[4]} {texts[5]}"]
    stage = DedupSubstring(**least)
    expected = verdicts(stage, documents(texts))
    assert expected.num_rows > 20
    for partitions in (1, 3):
        for seed in (0, 1):
            how = {"parts": 4, "partitions": partitions, "seed": seed, "batch_rows": 7}
            assert verdicts(stage, documents(texts), **how).equals(expected)
    assert left(stage, texts) == twin(texts, stage)


def test_words_in_another_normal_form():
    """A passage that writes its accents in parts is cut to its last byte; what stands around it stays as it is written."""
    rng = random.Random(4)
    passage = " ".join(f"forêt{rng.randrange(99)} 한국어{rng.randrange(99)} élève" for _ in range(12))
    parts = unicodedata.normalize("NFD", passage)
    begin, end = (unicodedata.normalize("NFD", f"{word} à lui seul") for word in ("début", "fin"))
    longer = " ".join(f"mot{n}" for n in range(200))
    texts = [f"{passage} {longer}", f"{begin}: {parts}; {end}"]
    stage = DedupSubstring(least_tokens=20, keep=["longest"])
    assert left(stage, texts) == {1: f"{begin}: ; {end}"}


def test_a_document_repeated_inside_itself():
    """It is cut to what it repeats; a row of one sign to one of it, at the cost of no anchor for each."""
    rng = random.Random(8)
    once = story(rng, 1000) + "\n"
    assert left(DedupSubstring(), [once * 5]) == {0: once.rstrip()}
    assert left(DedupSubstring(), ["=" * 200_000]) == {0: "="}
    stage = DedupSubstring()
    rows = stage.phases()[0].reads[0].map(with_address(["=" * 200_000, "ab" * 100_000]), CONTEXT)
    assert rows.num_rows < 20


def with_address(texts: list[str]) -> Batch:
    docs = documents(texts).combine_chunks()
    number = pa.array(np.arange(len(texts)), pa.uint32())
    docs = docs.append_column("_part", pa.array(np.zeros(len(texts)), pa.uint32())).append_column("_row", number)
    return Batch(docs.to_batches()[0])


def test_ends_of_words_and_characters():
    """A cut ends where words do: "The" of "There" is not left without its end; script without spaces keeps characters."""
    passage = "It was the best of times, it was the worst of times, it was the age of wisdom. "
    texts = [f"One. {passage}There they went.", f"Alone. {passage}These stay."]
    found = left(DedupSubstring(least_bytes=40), texts)
    assert set(found.values()) <= {"One There they went.", "Alone These stay."}, "the sign before it was the same, too"
    han = "".join(chr(0x4E00 + i) for i in range(100))
    found = left(DedupSubstring(least_bytes=100), [f"\u4dff{han}\u4dff", f"\u4ffe{han}\u4dfe"])
    assert len(found) == 1
    for text in found.values():
        assert not set(text) & set(han)


def test_settings():
    """One of the two lengths; a share that drops what would be cut."""
    with pytest.raises(ValueError, match="not both"):
        DedupSubstring(least_bytes=800, least_tokens=50)
    rng = random.Random(9)
    passage = story(rng, 900)
    docs = documents([f"{passage} {story(rng, 900)}" for _ in range(3)])
    found = verdicts(DedupSubstring(min_left_share=1), docs)
    assert found.column("reason").to_pylist() == ["little_left"] * 2
    assert verdicts(DedupSubstring(min_left_share=0.3), docs).column("reason").to_pylist() == [None] * 2


def test_spans_that_touch():
    """Windows that overlap, and those of other documents, are joined before their ends are moved."""
    stage = DedupSubstring(least_bytes=16)
    docs = Batch(documents(["one two three four five six"] * 2).combine_chunks().to_batches()[0])
    spans = Spans(np.array([0, 0, 1]), np.array([1, 9, 0]), np.array([10, 25, 16]))
    assert [s.tolist() for s in stage.spans(docs, spans, CONTEXT)] == [[0, 1], [3, 0], [23, 14]]


def test_a_footer_is_a_few_rows_of_each_document(monkeypatch):
    """Between other texts in more documents than are compared as texts: not a row for each of its windows."""
    monkeypatch.setattr(dedup_substring, "_MOST", 16)
    rng = random.Random(5)
    footer = story(rng, 1200)
    texts = [f"{story(rng, 90)} {footer} {story(rng, 90)}" for _ in range(40)]
    stage, docs = DedupSubstring(), documents(texts)
    batches = [Batch(b) for b in in_parts(docs, 1, rng)[0].combine_chunks().to_batches(max_chunksize=9)]
    found = results(stage, batches, 3, rng)
    assert found["texts"].num_rows > 100 * 39
    assert 39 <= found["cuts"].num_rows < 5 * 39
    assert left(stage, texts) == twin(texts, stage)
