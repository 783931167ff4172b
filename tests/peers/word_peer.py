"""Runs in a peer's own environment, not in ours: the peer's released filters on documents, one verdict per rule.

``python word_peer.py FILTER fed|own < documents.jsonl > verdicts.jsonl``: a document is ``{"text": ..., "words": [...]}``; a
verdict has the rules by the names of our reasons, each true (dropped), a measured value, or null where the peer raises.
With ``fed`` the peer gets the document's words in place of its own; with ``own`` the verdict tells the peer's words.

To add a filter: write a function that takes the engine's words (or None) and returns a function from a text to its
verdict, and put it into FILTERS. Imports stay inside it, since each environment has one peer.
"""

from __future__ import annotations

import json
import sys
import warnings


class Words:
    """What takes the place of a peer's word splitter: the document's words, or the peer's own, remembered."""

    def __init__(self, own):
        self.own = own
        self.fed = None
        self.last = None

    def __call__(self, text, *_, **__):
        if self.last is None:
            self.last = self.fed if self.fed is not None else self.own(text)
        return self.last

    def next(self, fed):
        self.fed, self.last = fed, None


def each(rules):
    """A verdict from one filter a rule: whether it drops the document; null if it raises (no words, no lines)."""

    def verdict(text):
        from datatrove.data import Document

        found = {}
        for name, rule in rules.items():
            try:
                found[name] = rule.filter(Document(text=text, id="")) is not True
            except (ZeroDivisionError, ValueError):
                found[name] = None
        return found

    return verdict


def datatrove_words(*modules):
    """The filters' modules with their splitter replaced by Words."""
    from datatrove.utils.text import split_into_words

    words = Words(split_into_words)
    for module in modules:
        module.split_into_words = words
    return words


def datatrove_massivetext():
    from datatrove.pipeline.filters import gopher_quality_filter, gopher_repetition_filter

    quality = dict.fromkeys(
        (
            *("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length", "max_symbol_word_ratio"),
            *("max_bullet_lines_ratio", "max_ellipsis_lines_ratio", "max_non_alpha_words_ratio", "min_stop_words"),
        )
    )
    names = {
        "too_short": ("min_doc_words", 50),
        "too_long": ("max_doc_words", 100000),
        "short_words": ("min_avg_word_length", 3),
        "long_words": ("max_avg_word_length", 10),
        "bullets": ("max_bullet_lines_ratio", 0.9),
        "ellipsis_lines": ("max_ellipsis_lines_ratio", 0.3),
        "few_alpha_words": ("max_non_alpha_words_ratio", 0.8),
        "no_stop_words": ("min_stop_words", 2),
    }
    rules = {
        name: gopher_quality_filter.GopherQualityFilter(**{**quality, setting: value})
        for name, (setting, value) in names.items()
    }
    repetition = dict.fromkeys(("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"))
    repetition |= {"top_n_grams": (), "dup_n_grams": ()}
    changes = {
        "duplicate_lines": {"dup_line_frac": 0.3},
        "duplicate_paragraphs": {"dup_para_frac": 0.3},
        "duplicate_line_chars": {"dup_line_char_frac": 0.2},
        "duplicate_paragraph_chars": {"dup_para_char_frac": 0.2},
        **{f"top_{n}gram": {"top_n_grams": ((n, x),)} for n, x in ((2, 0.2), (3, 0.18), (4, 0.16))},
        **{f"duplicate_{n}gram": {"dup_n_grams": ((n, (20 - n) / 100),)} for n in range(5, 11)},
    }
    rules |= {
        name: gopher_repetition_filter.GopherRepetitionFilter(**{**repetition, **change})
        for name, change in changes.items()
    }
    symbols = gopher_quality_filter.GopherQualityFilter(**{**quality, "max_symbol_word_ratio": 0.1})
    words = datatrove_words(gopher_quality_filter, gopher_repetition_filter)
    verdict = each(rules)

    def with_symbols(text):
        from datatrove.data import Document

        found = verdict(text)
        # One setting is behind two rules, tried one after the other: the second is seen without the first's signs.
        for name, own, other in (("hashes", "hashes", "."), ("ellipses", "ellipsis", "#")):
            left = text.replace("…", "_").replace(other, "_") if other == "." else text.replace(other, "_")
            try:
                reason = symbols.filter(Document(text=left, id=""))
            except ZeroDivisionError:
                found[name] = None
                continue
            found[name] = reason is not True and reason[1].endswith(own)
        return found

    return words, with_symbols


def dolma_massivetext():
    from dolma.taggers import gopher

    class Text(str):
        """A text whose words are Words."""

        __slots__ = ()

        def split(self, sep=None, maxsplit=-1):
            return words(str(self)) if sep is None else str(self).split(sep, maxsplit)

    words = Words(str.split)

    def verdict(text):
        got = gopher.get_attributes(Text(text))
        top, repeated = (
            dict(got.fraction_of_characters_in_most_common_ngram),
            dict(got.fraction_of_characters_in_duplicate_ngrams),
        )
        words(text)
        return {
            "words": got.word_count,
            "word_length": got.median_word_length,
            "symbol_ratio": got.symbol_to_word_ratio,
            "bullet_lines": got.fraction_of_lines_starting_with_bullet_point,
            "ellipsis_lines": got.fraction_of_lines_ending_with_ellipsis,
            "alpha_words": got.fraction_of_words_with_alpha_character,
            "stop_words": got.required_word_count,
            "duplicate_lines": got.fraction_of_duplicate_lines,
            "duplicate_line_chars": got.fraction_of_characters_in_duplicate_lines,
            **{f"top_{n}gram": top.get(n, 0.0) for n in (2, 3, 4)},
            **{f"duplicate_{n}gram": repeated.get(n, 0.0) for n in range(5, 11)},
        }

    return words, verdict


FILTERS = {"massivetext-datatrove": datatrove_massivetext, "massivetext-dolma": dolma_massivetext}
"""By name: a function that gives the Words it has put into the peer, and the verdict of a text."""


def main():
    name, mode = sys.argv[1:]
    warnings.simplefilter("ignore")
    words, verdict = FILTERS[name]()
    for line in sys.stdin.buffer:
        document = json.loads(line)
        words.next(document["words"] if mode == "fed" else None)
        found = verdict(document["text"])
        shown = {"words": words.last or []} if mode == "own" else {}
        sys.stdout.write(json.dumps({**shown, "rules": found}) + "\n")


if __name__ == "__main__":
    main()
