"""score.reference: which answers say what is known to be right."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from exchange import CONTEXT, documents

from curate.stages.score_reference import ScoreReference
from curate.text.batch import Batch


def scores(how: str, *rows: tuple[str | None, str | None]) -> list[float | None]:
    """Of (reference, answer)."""
    metas = []
    for reference, answer in rows:
        said = [] if answer is None else [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
        metas.append(json.dumps({"reference": reference, **({"messages": said} if said else {})}))
    docs = documents([str(i) for i in range(len(rows))])
    docs = docs.set_column(docs.schema.get_field_index("meta"), "meta", pa.array(metas, pa.string()))
    batch = Batch(docs.combine_chunks().to_batches()[0])
    found: list[float | None] = ScoreReference(how=how).measure(batch, CONTEXT)["score"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("how", "reference", "answer", "score"),
    [
        ("auto", "18", "She makes 9 * 2 = 18 dollars.", 1),
        ("auto", "9 * 2 = <<9*2=18>>18\n#### 18", "18", 1),
        ("auto", "1,000", "It is 1000.0.", 1),
        ("auto", "-3", "3", 0),
        ("auto", "10", "It takes 5-10 days, so 5-10", 1),
        ("auto", "-10", "It takes 5-10", 0),
        ("auto", "7", "(3+4)-7", 1),
        ("auto", "-7", "x=-7", 1),
        ("auto", "-7", "They are \u22127", 1),
        ("auto", "$-7", "a loss of -$7.00.", 1),
        ("auto", "0.5", "half, or .5", 1),
        ("auto", "18", "18 of 20", 0),
        ("auto", "18", "I don't know.", 0),
        ("auto", "Paris", "The capital is PARIS, of course", 1),
        ("auto", "Paris", "Parisians", 0),
        ("auto", "東京", "答えは東京です", 1),
        ("auto", "東京", "京都です", 0),
        ("auto", "กรุงเทพ", "คำตอบคือกรุงเทพมหานคร", 1),
        ("auto", "กน", "กิน", 0),
        ("auto", "서울", "정답은 서울입니다.", 1),
        ("auto", "iPhone 東京", "それは iPhone東京版です", 1),
        ("auto", "Phone", "iPhone東京", 0),
        ("exact", "東京", "東京。", 1),
        ("exact", "東京", "東京です", 0),
        ("auto", "café", "The cafe\u0301.", 1),
        ("auto", "caf", "The cafe\u0301.", 0),
        ("auto", "ｶﾌｪ", "カフェへ", 1),
        ("auto", "राम", "राम ने कहा", 1),
        ("auto", "रम", "राम ने कहा", 0),
        ("auto", "Straße", "STRASSE", 1),
        ("auto", "1500", "It is 1.5e3", 1),
        ("auto", "1.5e3", "1,500 metres", 1),
        ("auto", "-1.5E-3", "so -0.0015.", 1),
        ("auto", "1500", "1.5 \u00d7 10\u00b3", 1),
        ("auto", "1500", "$1.5 \\times 10^{3}$", 1),
        ("auto", "0.015", "1.5 * 10**-2", 1),
        ("auto", "3", "route 2e4f, then 3", 1),
        ("auto", "5", "It is 5 m\u00b2", 1),
        ("auto", "1500", "１，５００円", 1),
        ("number", "7", "1e999 * 10^999", 0),
        ("auto", "New York", "York is new", 0),
        ("exact", "New York", "new york!", 1),
        ("exact", "New York", "It is New York", 0),
        ("number", "no number", "3", None),
        ("words", "...", "x", None),
        ("auto", None, "3", None),
        ("auto", "3", None, None),
        ("number", "7", "9" * 100_000, 0),
    ],
)
def test_what_is_right(how: str, reference: str | None, answer: str | None, score: float | None) -> None:
    """By the last number, by words side by side, or by all words; nothing is said where there is no right answer."""
    assert scores(how, (reference, answer)) == [score]
