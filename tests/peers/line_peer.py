"""Runs in a peer's own environment, not in ours: its released filters on lines, one verdict a document.

``python line_peer.py datatrove|dolma fed|own < documents.jsonl > verdicts.jsonl``: a document is ``{"text": ..., "words":
int, "sentences": {line: int}, "bad": [...]}``. With ``fed`` datatrove's splitters give as many words and sentences as
the document says, with ``own`` their own. A verdict is ``{"rules": {name: true for dropped, or null where the peer
raises}, "texts": {name: what is left, or null where the document goes}}``, and with ``own`` the sentences of the lines that
datatrove asked about.
"""

from __future__ import annotations

import json
import re
import sys
import warnings


class Sized:
    """A number of words or sentences that nobody looks at."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


def datatrove(fed):
    """A function from a document to its verdict by datatrove's three filters and FineWeb's."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import c4_filters, fineweb_quality_filter

    given = {}
    remembered = {}

    def sentences(text, _language):
        if fed:
            return Sized(given["sentences"][text])
        if text not in remembered:
            remembered[text] = Sized(len(own_sentences(text)))
        return remembered[text]

    def words(text, _language):
        if fed:
            return Sized(given["words"])
        if "words" not in remembered:
            remembered["words"] = own_words(text)
        return remembered["words"]

    own_sentences, own_words = c4_filters.split_into_sentences, fineweb_quality_filter.split_into_words
    c4_filters.split_into_sentences, fineweb_quality_filter.split_into_words = sentences, words

    off = {"filter_lorem_ipsum": False, "filter_curly_bracket": False, "min_num_sentences": -1}
    c4 = c4_filters.C4QualityFilter
    every = 1e9
    fineweb = fineweb_quality_filter.FineWebQualityFilter
    none = {"line_punct_thr": 0, "short_line_thr": every, "char_duplicates_ratio": every, "new_line_ratio": every}
    rules = {
        "c4.lorem_ipsum": c4(**{**off, "filter_lorem_ipsum": True}),
        "c4.curly_bracket": c4(**{**off, "filter_curly_bracket": True}),
        "c4.too_few_sentences": c4(**{**off, "min_num_sentences": 5}),
        "c4": c4(),
        "c4-fineweb.too_few_sentences": c4(**{**off, "min_num_sentences": 5}, filter_no_terminal_punct=False),
        "c4-fineweb": c4(filter_no_terminal_punct=False),
        "fineweb.line_punct_ratio": fineweb(**{**none, "line_punct_thr": 0.12}),
        "fineweb.short_line_ratio": fineweb(**{**none, "short_line_thr": 0.67}),
        "fineweb.char_dup_ratio": fineweb(**{**none, "char_duplicates_ratio": 0.01}),
        "fineweb.list_ratio": fineweb(**{**none, "new_line_ratio": 0.3}),
    }
    lines = c4(**off)
    paragraphs = c4_filters.C4ParagraphFilter()
    bad = c4_filters.C4BadWordsFilter()

    def dropped(rule, text):
        document = Document(text=text, id="")
        try:
            return rule.filter(document) is not True, document.text
        except (ZeroDivisionError, ValueError):
            return None, None

    def verdict(document):
        text = document["text"]
        given.update(document)
        remembered.clear()
        found, texts = {}, {}
        for name, rule in rules.items():
            found[name], left = dropped(rule, text)
            if name in ("c4", "c4-fineweb"):
                texts[name] = left if found[name] is False else None
        texts["c4.lines"] = dropped(lines, text)[1]
        found["c4.too_few_paragraphs"] = dropped(paragraphs, texts["c4.lines"])[0]
        if "en" not in bad._badwords_regex:
            entries = "|".join(re.escape(entry) for entry in document["bad"])
            bad._badwords_regex["en"] = re.compile(rf"(?:\W|^)({entries})(?:\W|$)")
        found["c4.bad_words"] = dropped(bad, texts["c4.lines"])[0]
        asked = {line: len(count) for line, count in remembered.items() if line != "words"}
        return {"rules": found, "texts": texts, "sentences": asked}

    return verdict


def dolma(_fed):
    """A function from a document to its verdict by the taggers c4_v1 and c4_v2, mixed as in configs/c4-replication."""
    from dolma.core.data_types import Document
    from dolma.taggers.c4 import C4Tagger, FasterC4Tagger

    taggers = {"c4_v1": C4Tagger(), "c4_v2": FasterC4Tagger()}
    lines = ("lines_with_no_ending_punctuation", "lines_with_too_few_words")

    def verdict(document):
        text = document["text"]
        found, texts = {}, {}
        for name, tagger in taggers.items():
            spans = tagger.predict(Document(source="", version="", id="", text=text)).spans
            types = {span.type for span in spans}
            for flag in ("lorem_ipsum", "javascript", "curly_brace"):
                found[f"{name}.{flag}"] = f"has_{flag}" in types
            left, at = [], 0
            for start, end in sorted({(span.start, span.end) for span in spans if span.type in lines}):
                left.append(text[at:start])
                at = max(at, end)
            texts[name] = "".join([*left, text[at:]])
        return {"rules": found, "texts": texts}

    return verdict


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    of = {"datatrove": datatrove, "dolma": dolma}[sys.argv[1]](sys.argv[2] == "fed")
    for line in sys.stdin:
        print(json.dumps(of(json.loads(line))))
