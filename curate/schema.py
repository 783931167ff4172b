"""The document: the one schema that every stage reads and extends.

``id``            fixed 16 bytes   128-bit hash of (source name, path relative to the source's root, own id or position)
``text``          large_string     valid UTF-8, LF or CRLF as it came
``source``        string           name of the source step in the recipe, or what a row's own ``source`` field says
``origin``        string           where the text can be read again: ``relative/path#own-id-or-position``
``meta``          string           JSON object of the record's other fields (license, version, path, ...)
``content_hash``  fixed 16 bytes   128-bit hash of the text in NFC with LF line ends

Stages add columns (``value.score``); a dot separates the step's id from the column's name.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

ID_BYTES: Final = 16
ID_TYPE: Final = pa.binary(ID_BYTES)

DOCUMENT: Final = pa.schema(
    [
        pa.field("id", ID_TYPE, nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("meta", pa.string(), nullable=False),
        pa.field("content_hash", ID_TYPE, nullable=False),
    ]
)

DROPPED: Final = pa.schema(
    [
        pa.field("id", ID_TYPE, nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("bytes", pa.int64()),
    ]
)
"""A row that did not go on: which step, for which reason, what was measured or who was kept instead (JSON), and how
long its text was then (null where it never became a document)."""

KILLS_WORKER: Final = "kills_worker"
"""The one reason of the engine's own, beside those of stages: see run/quarantine.py."""
KILLS_WORKER_WHY: Final = "the step's process died whenever it saw this row alone (it crashed, or ran out of memory)"

SPANS: Final = "cut"
"""Column of what was measured of a row: the bytes of its text that a global step cut out, start and stop in turn."""
COPIES: Final = "copies"
"""Beside it: of each such span the document in which the longest stretch of it stands, null where it stays nowhere."""
PLACES: Final = "places"
"""Of each such stretch where it begins in this document and in that one, and how long it is, as the step counts (bytes, or words)."""
