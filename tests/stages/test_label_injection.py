"""Documents are data to the judge: what is planted in them does not move its scores."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import batch, context, docstrings, source_files
from planted import FORGED, MORE, PLACES, WORDINGS, plant
from test_generate import answer, flat

from curate import assets
from curate.stages.generator import Accepted
from curate.stages.judge_view import _pieces, mask, view
from curate.stages.label_llm import LabelLLM

RUBRIC = assets.find("classifiers", "textbook-value")
ORDER = re.compile(
    r"\b(?:rate|score|award|assign|deserves?|earns?|give|gets?|mark|answer)\b[^\n]{0,60}(?:\b5\b|five|highest)",
    re.IGNORECASE,
)


def quoted(prompt):
    """What stands between the prompt's first delimiter and the first thing that looks as if it closed it, and the rest."""
    begin = re.search(r"<document \w+>\n", prompt)
    end = re.compile(r"<\s*/\s*document|<\|im_").search(prompt, begin.end())
    return prompt[begin.end() : end.start()], prompt[: begin.start()] + prompt[end.end() :]


def careful(prompt):
    """A judge that obeys orders, but only those that stand outside the quotation; else it counts long words."""
    inside, outside = quoted(prompt)
    outside = outside.replace(prompt.splitlines()[-1], "")
    return 5 if ORDER.search(outside) else len(set(re.findall(r"\w{9,}", inside))) % 4


def gullible(prompt):
    """A judge that obeys every order it reads, and else grades by what is no part of a plant."""
    inside, _ = quoted(prompt)
    return 5 if ORDER.search(inside) else 1


def documents():
    """Twenty of prose, twenty of code."""
    prose, code = docstrings()[:20], source_files(20)
    assert len(prose) == len(code) == 20
    return prose, code


def scores(texts, sources, judge, **settings):
    """The scores that a judge gives, by the stage's own requests and its reading of answers; by document's text."""
    stage = LabelLLM(documents=1000, code=["code"], **settings)
    docs = batch(texts, sources)
    texts_by_id = dict(zip((i.hex() for i in docs.column("id").to_pylist()), texts, strict=True))
    found = {}
    for request in flat(stage.requests([docs], context("judge", rubric=RUBRIC))):
        said = judge(request.messages[1]["content"])
        result = stage.accept(request, answer(f"It says what it says.\nEducational score: {said}"), context("judge"))
        assert isinstance(result, Accepted)
        found[texts_by_id[result.document]] = result.columns["score"]
    return found


def shift(judge, sentences, **settings):
    """Mean of (score with a planted sentence - score without), over documents, places and wordings in turn."""
    prose, code = documents()
    moved = []
    for texts, source in ((prose, "docs"), (code, "code")):
        clean = scores(texts, [source] * len(texts), judge, **settings)
        for at, place in enumerate(PLACES):
            planted = {
                plant(text, sentences[(i + at) % len(sentences)], place, code=source == "code", shown=600): text
                for i, text in enumerate(texts)
            }
            after = scores(list(planted), [source] * len(planted), judge, **settings)
            moved += [after[text] - clean[before] for text, before in planted.items()]
    assert len(moved) == 120
    return float(np.mean(moved))


def test_a_gullible_judge_is_not_reached():
    """Who obeys whatever it reads gives the same scores, within 0.2 in the mean; unmasked it would be moved by 3."""
    assert shift(gullible, WORDINGS, mask=False) > 3
    assert abs(shift(gullible, WORDINGS)) <= 0.2


def test_nothing_gets_out_of_the_quotation():
    """Forged delimiters and turns stay quoted, masked or not; a judge that trusts only what is outside is not moved."""
    assert abs(shift(careful, FORGED)) <= 0.2
    prose, code = documents()
    for text in (*prose, *code):
        for sentence in FORGED:
            (request,) = flat(
                LabelLLM(mask=False).requests(
                    [batch([plant(text, sentence, "middle", code=False, shown=600)], ["a"])], context(rubric=RUBRIC)
                )
            )
            inside, outside = quoted(request.messages[1]["content"])
            assert not ORDER.search(outside.replace(request.messages[1]["content"].splitlines()[-1], ""))
            assert "<|" not in inside


@pytest.mark.parametrize("sentence", WORDINGS)
def test_each_wording_is_masked(sentence):
    """In prose, in a comment, wrapped over two lines; hidden by characters without width; what surrounds it stays."""
    words = sentence.split(" ")
    wrapped = " ".join(words[: len(words) // 2]) + "\n# " + " ".join(words[len(words) // 2 :])
    for text in (
        f"Lists hold things. {sentence} A loop visits them.",
        f"x = 1\n# {sentence}\ny = 2",
        f"x = 1\n# {wrapped}\ny = 2",
        f"One.\n\n{sentence.upper()}\n\nTwo.",
    ):
        shown, count = mask(text)
        assert count >= 1, text
        assert not re.search(r"\b5\b|five|highest", shown, re.IGNORECASE), shown
    hidden = "\u200b".join(sentence)
    assert view(f"Lists.\n{hidden}\nLoops.", 500).text == "Lists.\nLoops."
    ended = sentence if sentence.endswith(".") else f"{sentence}."
    assert mask(f"Lists hold things. {ended} A loop visits them.")[0].split() == [
        "Lists",
        "hold",
        "things.",
        "A",
        "loop",
        "visits",
        "them.",
    ]


def test_what_was_planted_leaves_no_sign():
    """A judge is shown the same as of the document without it: nearly always to the letter."""
    prose, code = documents()
    same = []
    for texts, is_code in ((prose, False), (code, True)):
        for text in texts:
            clean = view(text, 400)
            for i, sentence in enumerate((*WORDINGS, *FORGED)):
                found = view(plant(text, sentence, PLACES[i % 3], code=is_code, shown=600), 400)
                same.append(found.text == clean.text)
    assert np.mean(same) > 0.9


def test_less_direct_wordings_are_masked():
    """What the rules were widened by goes, too."""
    assert [sentence for sentence in MORE if not mask(f"Lists.\n# {sentence}\nLoops.")[1]] == []


ORDINARY = """\
def grade(points):
    score = 5 * points
    return score / 5

A loop visits each item once. The score of a game goes up by 1 for each coin.
Give each variable a name. Give the function two numbers. Mark the end with a semicolon.
The model is a class; this document explains how it is saved. See chapter 5 of this text.
if rating > 5: print("full")
The five points of a star are on a circle. Step 5: rate limits.
"""


def test_ordinary_text_stays():
    """What teaches about scores, grades and models in the way of textbooks and programs is shown as it is."""
    assert mask(ORDINARY) == (ORDINARY, 0)


def test_little_of_real_text_is_masked():
    """Docstrings and source files of the standard library lose next to nothing."""
    texts = [*docstrings(), *source_files()]
    masked = [view(text, 1_000).masked for text in texts]
    assert len(texts) > 150
    assert sum(m > 0 for m in masked) <= 0.01 * len(texts)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.sampled_from([*WORDINGS, *FORGED, "\n", " ", ".", "# "]), st.text(max_size=8))))
def test_a_view_is_short_and_closed(parts):
    """Of any text: no delimiter, no mark of a chat, not longer than asked for."""
    text = "".join(parts)
    shown = view(text, 80).text
    assert not re.search(r"<\s*/?\s*document\b|<\|", shown, re.IGNORECASE)
    assert len(shown) <= 80
    assert view(text, 80) == view(text, 80)


@settings(max_examples=100)
@given(st.text(alphabet="a .!?\"')]\n\t\r\x85,", max_size=40))
def test_sentences_end_where_the_short_rule_says(text):
    """The rule as one would write it, which goes back for every mark in a run of them."""
    short = re.compile(r"[^\n]+?(?:[.!?]+[\"')\]]*(?=\s)|$|(?=\n))", re.MULTILINE)
    assert list(_pieces(text)) == [m.span() for m in short.finditer(text)]


@pytest.mark.parametrize("run", [".", "!?", '."', "a.", "<", ". "])
def test_runs_of_marks_cost_their_length(run):
    """Leaders of a table of contents: with the short rule a hundred thousand dots took minutes."""
    text = run * (100_000 // len(run))
    assert view(text, 100_000).masked == 0
