"""Runs in datatrove's environment, not in ours: its released n-gram decontamination on documents, one verdict each.

``python contamination_peer.py ITEMS.jsonl N < documents.jsonl > verdicts.jsonl``: an item is ``{"name", "prompt", "answer"}``, a document
``{"text"}``, a verdict ``{"ngram", "task"}``, both null where the document stays. The last line has the CPU ``seconds`` of the filter
alone. Prompts, answers and what overlaps both are indexed (``find_query_ngrams``, ``find_overlap_ngrams``), each item a task.
The indexer's ``compute_hashes`` is called itself: its ``run`` asks for lighteval and benchmarks from the network.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Index, then filter."""
    import numpy as np
    from datatrove.data import Document
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer

    items, n = Path(sys.argv[1]), int(sys.argv[2])
    NGramsDecontIndexer._requires_dependencies = []
    with tempfile.TemporaryDirectory() as folder:
        config = NGramsDecontConfig(n_grams=n, find_query_ngrams=True, find_overlap_ngrams=True)
        indexer = NGramsDecontIndexer(folder, config=config)
        for number, line in enumerate(items.open()):
            item = json.loads(line)
            hashes = set(indexer.compute_hashes(item["answer"], item["prompt"]))
            np.array(sorted(hashes), config.hash_config.np_descr).tofile(f"{folder}/{number:06d}.index.hashes")
        filter_ = NGramsDecontFilter(folder, config=config)
        filter_.load_index_hashes()
        seconds = 0.0
        for line in sys.stdin:
            document = Document(text=json.loads(line)["text"], id="")
            start = time.process_time()
            filter_.filter(document)
            seconds += time.process_time() - start
            found = document.metadata
            print(json.dumps({"ngram": found.get("contaminated_ngram"), "task": found.get("contaminated_task")}))
        print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
