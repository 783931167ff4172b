"""Runs in datatrove's own environment, not in ours: its PIIFormatter on documents.

``python personal_peer.py < documents.jsonl > texts.jsonl``: a document is ``{"text": ...}``; a line is the text that it makes of it,
and the last line the seconds of CPU that its formatter took.
"""

from __future__ import annotations

import json
import sys
import time


def main():
    """Each document's text without e-mail and IP addresses."""
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter(email_replacement="<email>", ip_replacement="<ip>")
    documents = [json.loads(line)["text"] for line in sys.stdin]
    began = time.process_time()
    made = [formatter.format(text) for text in documents]
    seconds = time.process_time() - began
    for text in made:
        print(json.dumps(text))
    print(json.dumps(seconds))


main()
