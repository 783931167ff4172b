"""Speed of the words view, the rules, and the same on two threads, with peers in the same run."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.measure import Row, case, corpus, decided, on_batch


def rules() -> Iterator[Row]:
    """Words, lines, counts, the two rule filters, normal forms."""
    from curate.stages.filter_code_rules import CodeRules
    from curate.stages.filter_text_rules import TextRules
    from curate.text import code_rules, normal
    from curate.text import rules as text_rules

    texts = corpus(8)
    yield case("words (folded)", texts, on_batch(lambda b: b.words("folded")))
    yield case("words (symbols)", texts, on_batch(lambda b: b.words("symbols")))
    yield case("lines", texts, on_batch(lambda b: b.lines))
    yield case("prose_counts", texts, on_batch(lambda b: text_rules.prose_counts(*b.utf8)))
    yield case("code_counts", texts, on_batch(lambda b: code_rules.code_counts(*b.utf8)))
    yield case("filter.text_rules", texts, decided(TextRules()))
    yield case("filter.code_rules", texts, decided(CodeRules()))
    yield case("prose_profile", texts, on_batch(lambda b: normal.prose_profile(b.text)))
    yield case("code_profile", texts, on_batch(lambda b: normal.code_profile(b.text)))
