"""Runs in a peer's own environment, not in ours: CPU seconds of an engine's filters on documents.

``python peer_filters.py ENGINE < documents.jsonl``: each line is a JSON string, a document's text. Prints JSON: CPU seconds
on the first quarter of the documents and on all, three times each, after some that do not count (tokenizers load).
"""

from __future__ import annotations

import json
import sys
import time
import warnings


def datatrove(*, row=True):
    """FineWeb's rules in its order: repetition, quality, C4 without terminal punctuation, FineWeb.

    In a ``row`` the first filter that drops a document ends it, else every filter sees every document.
    """
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]

    def run(texts):
        for text in texts:
            document = Document(text=text, id="")
            for each in filters:
                try:
                    kept = each.filter(document) is True
                except (ZeroDivisionError, ValueError):
                    kept = False
                if row and not kept:
                    break

    return run


def datatrove_fasttext(model):
    """Its stage for fastText classifiers, on a model file."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import FastTextClassifierFilter

    stage = FastTextClassifierFilter(model, keep_labels=[("hq", 0.5)])

    def run(texts):
        for _ in stage.run(Document(text=text, id="") for text in texts):
            pass

    return run


def datatrove_pii():
    """Its formatter that takes out e-mail and IP addresses."""
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()

    def run(texts):
        for text in texts:
            formatter.format(text)

    return run


def datatrove_tokens(file):
    """Its stage for tokens, one thread, without its shuffle: a ``tokenizer.json`` and a folder for its files."""
    import os
    import tempfile

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from datatrove.data import Document
    from datatrove.pipeline.tokens import DocumentTokenizer

    def run(texts):
        with tempfile.TemporaryDirectory() as folder:
            stage = DocumentTokenizer(folder, file, shuffle_documents=False)
            stage.run(Document(text=text, id="") for text in texts)

    return run


def nemo_curator():
    """The filters of heuristic_filter_en, all of them on every document, on pandas batches as Curator runs them."""
    import pandas as pd
    from nemo_curator.stages.text.filters import heuristic
    from nemo_curator.stages.text.filters.heuristic import repetition

    names = (
        *("NonAlphaNumericFilter", "SymbolsToWordsFilter", "NumbersFilter", "UrlsFilter", "WhiteSpaceFilter"),
        *("ParenthesesFilter", "WordCountFilter", "BoilerPlateStringFilter", "MeanWordLengthFilter"),
        *("LongWordFilter", "WordsWithoutAlphabetsFilter", "CommonEnglishWordsFilter", "PunctuationFilter"),
        *("BulletsFilter", "EllipsisFilter"),
    )
    filters = [getattr(heuristic, name)() for name in names]
    names = ("RepeatedLinesFilter", "RepeatedParagraphsFilter")
    names += ("RepeatedLinesByCharFilter", "RepeatedParagraphsByCharFilter")
    filters += [getattr(repetition, name)() for name in names]
    filters += [repetition.RepeatingTopNGramsFilter(n=n) for n in (2, 3, 4)]
    filters += [repetition.RepeatingDuplicateNGramsFilter(n=n) for n in range(5, 11)]

    def run(texts):
        frame = pd.DataFrame({"text": texts})
        for each in filters:
            scores = frame["text"].apply(each.score_document)
            scores.apply(each.keep_document)

    return run


def main():
    warnings.simplefilter("ignore")
    name, _, model = sys.argv[1].partition("=")
    run = {
        "datatrove": lambda: datatrove(row=False),
        "datatrove-row": datatrove,
        "datatrove-fasttext": lambda: datatrove_fasttext(model),
        "datatrove-pii": datatrove_pii,
        "datatrove-tokens": lambda: datatrove_tokens(model),
        "nemo-curator": nemo_curator,
    }[name]()
    texts = [json.loads(line) for line in sys.stdin]
    quarter = texts[: len(texts) // 4]
    run(texts[:5])
    taken = {"small": [], "all": []}
    for _ in range(3):
        for name, some in (("small", quarter), ("all", texts)):
            start = time.process_time()
            run(some)
            taken[name].append(time.process_time() - start)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
