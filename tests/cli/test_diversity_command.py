"""`curate diversity`, as a person types it."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from command import Curate
from corpus import prose

from curate.errors import CurateError
from curate.report.diversity import grid, measure
from curate.report.texts import open_texts


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Rows of a family whose texts are all different, and of one that has 40 answers."""
    del tmp_path_factory
    texts, draw = prose(160, 600), random.Random(4)
    rows = [{"text": text, "meta": {"family": "healthy"}} for text in texts[:120]]
    rows += [{"text": draw.choice(texts[120:160]), "meta": {"family": "collapsed"}} for _ in range(160)]
    return rows


def written(place: Path, rows: list[dict]) -> Path:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def test_by_family(answers: list[dict], tmp_path: Path) -> None:
    """What was planted is found in its family, and rows in another order, in two files, give the same."""
    one = written(tmp_path / "one.jsonl", answers)
    found = measure(open_texts(str(one), "text", "meta.family"), "meta.family")
    collapsed, healthy = found.families
    assert (healthy.family, healthy.texts, healthy.near_duplicates, healthy.unseen) == ("healthy", 120, 0, 1)
    assert (collapsed.family, collapsed.texts) == ("collapsed", 160)
    distinct = len({row["text"] for row in answers[120:]})
    assert collapsed.near_duplicates == pytest.approx(1 - distinct / 160)
    shares = dict(collapsed.curve)
    # The birthday curve: copies lie anywhere, not beside each other.
    assert [shares[n] for n in (20, 50)] == pytest.approx(
        [1 - 40 * (1 - (1 - 1 / 40) ** n) / n for n in (20, 50)], abs=0.15
    )
    assert collapsed.vendi < 40 < healthy.vendi
    assert collapsed.repeated > 0.9 > 0.3 > healthy.repeated
    assert found.whole.texts == 280
    folder = tmp_path / "two"
    folder.mkdir()
    again = random.Random(1).sample(answers, len(answers))
    written(folder / "a.jsonl", again[:100])
    written(folder / "b.jsonl", again[100:])
    other = measure(open_texts(str(folder), "text", "meta.family"), "meta.family")
    assert [vars(d) | {"dataset": ""} for d in (other.whole, *other.families)] == [
        vars(d) | {"dataset": ""} for d in (found.whole, *found.families)
    ]


def test_side_by_side(curate: Curate, answers: list[dict], tmp_path: Path) -> None:
    """Tables, a page, a curve of each dataset, and JSON with the same numbers."""
    one = written(tmp_path / "one.jsonl", answers[:120])
    two = written(tmp_path / "two.jsonl", answers[120:])
    page, plot = tmp_path / "page.html", tmp_path / "curve.svg"
    out = curate("diversity", one, two, "--html", page, "--plot", plot).ok().out
    assert "one.jsonl  two.jsonl" in " ".join(out.split()).replace("one.jsonl two", "one.jsonl  two")
    line = next(line for line in out.splitlines() if line.startswith("near duplicates "))
    assert line.split()[2] == "0.0%"
    assert len(ET.fromstring(plot.read_text()).findall("{*}polyline")) == 2
    assert "<script" not in page.read_text()
    assert "self-BLEU" in page.read_text()
    found = json.loads(curate("diversity", two, "--json").ok().out)
    assert f"{found[0]['whole']['near_duplicates']:.1%}" == line.split()[3]


def test_of_a_run(small_run: Path) -> None:
    """What a step gave, by source; a step that isn't there is named."""
    found = measure(open_texts(f"{small_run}:rules", "text", "source"), "source")
    assert found.whole.texts == 125
    assert sum(each.texts for each in found.families) == 125
    with pytest.raises(CurateError, match="the run has no step 'nope'"):
        open_texts(f"{small_run}:nope", "text", "source")
    with pytest.raises(CurateError, match="there is no column 'nope'"):
        measure(open_texts(f"{small_run}:rules", "text", "nope"), "nope")
    shards = measure(open_texts(f"{small_run}/pages", "text", "meta.family"), "meta.family")
    assert shards.whole.texts > 100


def test_nothing_to_measure(tmp_path: Path) -> None:
    """No text at all is a mistake; one text has no curve to speak of."""
    with pytest.raises(CurateError, match="there is no text in it"):
        measure(open_texts(str(written(tmp_path / "a.jsonl", [{"text": None}])), "text", "meta.family"), "meta.family")
    found = measure(
        open_texts(str(written(tmp_path / "b.jsonl", [{"text": "One."}])), "text", "meta.family"), "meta.family"
    )
    assert (found.whole.near_duplicates, found.whole.self_bleu, found.whole.compression) == (0, None, None)
    assert list(grid(120)) == [10, 20, 50, 100, 120]
