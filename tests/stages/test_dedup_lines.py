"""dedup.lines and dedup.paragraphs against a slow version of what they say, and against planted boilerplate."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from exchange import cut_out, documents, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.dedup_lines import DedupLines
from curate.stages.dedup_paragraphs import DedupParagraphs
from curate.stages.repeated_units import RepeatedUnits

STAGES = {"lines": DedupLines, "paragraphs": DedupParagraphs}


def pieces(text: str, paragraphs: bool) -> list[tuple[int, int, str]]:
    """(start, stop, normal form) of what is not blank; ASCII texts."""
    found: list[list] = []
    at, inside = 0, False
    for line in text.splitlines(keepends=True):
        normal = " ".join(line.lower().split())
        end = at + len(line)
        if paragraphs and found and (inside or not normal):
            found[-1][1] = end
            found[-1][2] = f"{found[-1][2]} {normal}".strip()
        elif normal:
            found.append([at, end, normal])
        inside = bool(normal)
        at = end
    return [tuple(f) for f in found]


def twin(stage: RepeatedUnits, texts: list[str], order: list[int]) -> dict[int, str]:
    where: dict[str, list[tuple[int, int, int]]] = {}
    for i in order:
        for start, stop, normal in pieces(texts[i], stage.paragraphs):
            if len(normal) >= stage.min_chars:
                where.setdefault(normal, []).append((i, start, stop))
    spans: dict[int, list[tuple[int, int]]] = {}
    for places in where.values():
        if len({i for i, _, _ in places}) >= stage.least:
            for i, start, stop in places[stage.cut == "all_but_first" :]:
                spans.setdefault(i, []).append((start, stop))
    return {i: cut_out(texts[i], found) for i, found in spans.items()}


def left(stage: RepeatedUnits, docs: pa.Table, **how) -> dict[int, str]:
    where = {i: n for n, i in enumerate(docs.column("id").to_pylist())}
    return {where[row["id"]]: row["text"] for row in verdicts(stage, docs, **how).to_pylist()}


def keep_order(docs: pa.Table) -> list[int]:
    return sorted(range(docs.num_rows), key=lambda i: (docs["content_hash"][i].as_py(), docs["id"][i].as_py()))


LINE = st.sampled_from(["menu", "Menu ", "a  b", "A b", "own", "x", "", " ", "long line that is one\t", "\r"])


@given(
    st.lists(st.lists(LINE, max_size=9).map("\n".join), max_size=9),
    st.sampled_from(["lines", "paragraphs"]),
    st.integers(2, 4),
    st.integers(1, 6),
    st.booleans(),
)
@settings(max_examples=40)
def test_by_brute_force(texts, which, least, chars, all_):
    """Counts, cuts and what is left, from any cut of the corpus."""
    stage = STAGES[which](least=least, min_chars=chars, cut="all" if all_ else "all_but_first")
    docs = documents(texts)
    assert left(stage, docs, parts=3, partitions=2, batch_rows=2) == twin(stage, texts, keep_order(docs))


def sentence(rng: random.Random) -> str:
    return " ".join(f"w{rng.randrange(10**5)}" for _ in range(9)) + "."


@pytest.mark.parametrize("which", ["lines", "paragraphs"])
def test_planted_boilerplate(which):
    """Of bodies that differ and boilerplate in 6 to 60 of them, in other case and spacing, all of the second and nothing
    else goes: precision and recall are 1; what stands in one document less stays."""
    rng = random.Random(2)
    gap = "\n" if which == "lines" else "\n\n"
    bodies = [[sentence(rng) for _ in range(8)] for _ in range(60)]
    boiler = [f"All rights reserved, notice {n}. Do not copy what is written on this page." for n in range(12)]
    rare = [f"A quotation, number {n}, that five pages have in common, word for word." for n in range(6)]
    counts = [6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60]
    wanted = [list(body) for body in bodies]
    for texts, many in ((boiler, counts), (rare, [5] * 6)):
        for text, count in zip(texts, many, strict=True):
            for i in rng.sample(range(60), count):
                said = text if rng.random() < 0.5 else f" {text.upper().replace(' ', '  ')}\t"
                at = rng.randrange(len(bodies[i]) + 1)
                bodies[i].insert(at, said)
    for i, body in enumerate(bodies):
        wanted[i] = [line for line in body if "RESERVED" not in line.upper()]
    docs = documents([gap.join(body) for body in bodies])
    found = left(STAGES[which](least=6, cut="all"), docs, parts=4, partitions=3)
    for i, body in enumerate(bodies):
        text = found.get(i, gap.join(body))
        assert text == gap.join(wanted[i]).rstrip() or text == gap.join(wanted[i])


def test_one_document_counts_once():
    """A line of one document, however often it stands there, is not what many share; when it is, all of them go."""
    line = "The same line over and over."
    body = "\n".join([line] * 50)
    assert left(DedupLines(least=2), documents([body, "Something else entirely, once."])) == {}
    found = left(
        DedupLines(least=2), documents([f"{body}\nOwn words of the first.", f"{line}\nOwn words of the second."])
    )
    assert found == {0: "Own words of the first.", 1: "Own words of the second."}


def test_keep_says_whose_line_stays():
    """With ``all_but_first`` the first document in keep order keeps it, once."""
    line = "A paragraph that three documents have."
    texts = [f"{line}\n\nFirst.\n\n{line}", f"{line}\n\nSecond.", f"Third.\n\n{line}"]
    docs = documents(texts, {"s": pa.array([3.0, 2.0, 1.0])})
    stage = DedupParagraphs(least=3, min_chars=10, keep=["s"])
    assert left(stage, docs) == {0: f"{line}\n\nFirst.", 1: "Second.", 2: "Third."}
    assert left(stage.model_copy(update={"keep": [{"lowest": "s"}]}), docs) == {0: "First.", 1: "Second."}


def test_short_lines_stay():
    """Below ``min_chars`` characters of the normal form, not bytes."""
    texts = ["\u00e9" * 19 + f"  \n{'e' * 20}\n{i}" for i in range(3)]
    assert left(DedupLines(least=3), documents(texts)) == {i: "\u00e9" * 19 + f"  \n{i}" for i in range(3)}


def test_too_little_left():
    """Documents with less left than wanted go, with a reason and what was left; white space counts for nothing."""
    line = "Boilerplate that everybody has, all over the place."
    texts = [f"{line}\n{'x' * n}" for n in (0, 1, 30, 200)]
    docs = documents(texts)
    by_id = dict(zip(docs.column("id").to_pylist(), (0, 1, 30, 200), strict=True))

    def gone(**how: float) -> dict[int, str]:
        found = verdicts(DedupLines(least=4, **how), docs)
        found = found.filter(pc.is_valid(found.column("reason")))
        assert set(found.column("reason").to_pylist()) <= {"little_left"}
        return {by_id[row["id"]]: row["detail"] for row in found.to_pylist()}

    assert gone() == {0: f'{{"chars": {len(line)}, "left": 0}}'}
    assert set(gone(min_left_chars=30)) == {0, 1}
    assert set(gone(min_left_share=0.5)) == {0, 1, 30}
    assert gone(min_left_chars=0) == {}


def test_huge_lines():
    """A line of megabytes is a line; so is one of spaces, which is none."""
    texts = [f"{'word ' * 300_000}\nown {i}\n{' ' * 1_000_000}\n" for i in range(3)]
    assert left(DedupLines(least=3), documents(texts)) == {i: f"own {i}\n{' ' * 1_000_000}\n" for i in range(3)}


@pytest.mark.parametrize("which", ["lines", "paragraphs"])
def test_result_does_not_depend_on_partitions_or_order(which):
    """The same verdicts from any cut of the corpus, in any order."""
    rng = random.Random(4)
    shared = [sentence(rng) for _ in range(20)]
    texts = ["\n\n".join([*rng.choices(shared, k=5), sentence(rng)]) for _ in range(60)]
    stage = STAGES[which](least=4, cut="all_but_first")
    expected = verdicts(stage, documents(texts))
    assert expected.num_rows > 20
    for parts, partitions, seed in ((1, 7, 1), (5, 2, 2), (3, 3, 3)):
        how = {"parts": parts, "partitions": partitions, "seed": seed, "batch_rows": 9}
        assert verdicts(stage, documents(texts), **how).equals(expected)
