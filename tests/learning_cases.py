"""Documents for the stages that learn and generate: real source files and docstrings, and planted junk."""

import hashlib
import inspect
import textwrap
from pathlib import Path

import pyarrow as pa

from curate.stages.base import Context
from curate.text.batch import Batch


def batch(texts, sources, **columns):
    """A batch with all document columns; ids and content hashes follow from the row and the text."""
    rows = len(texts)
    ids = [
        hashlib.blake2b(f"{s}/{i}/{t}".encode(), digest_size=16).digest()
        for i, (s, t) in enumerate(zip(sources, texts, strict=True))
    ]
    contents = [hashlib.blake2b(t.encode(), digest_size=16).digest() for t in texts]
    named = {
        "id": pa.array(ids, pa.binary(16)),
        "text": pa.array(texts, pa.large_string()),
        "source": pa.array(sources, pa.string()),
        "origin": pa.array([str(i) for i in range(rows)]),
        "meta": pa.array(["{}"] * rows),
        "content_hash": pa.array(contents, pa.binary(16)),
    }
    return Batch(pa.RecordBatch.from_pydict({**named, **columns}))


def split(whole, size):
    """The batch in batches of ``size`` rows."""
    return [Batch(whole.rows.slice(i, size)) for i in range(0, len(whole), size)]


def docstrings():
    """Docstrings of the standard library: prose that explains something."""
    import argparse
    import collections
    import fractions
    import json
    import random
    import statistics
    import string
    import typing

    found = set()
    for module in (argparse, collections, fractions, json, random, statistics, string, textwrap, typing):
        for thing in [module, *vars(module).values()]:
            members = vars(thing).values() if inspect.isclass(thing) else [thing]
            found |= {
                d.strip() for d in (getattr(m, "__doc__", None) for m in members) if isinstance(d, str) and len(d) > 120
            }
    return sorted(found)


def junk(count):
    """Lines as pages of a shop have them."""
    things = ["shoes", "phones", "loans", "bags", "rings", "wine", "hats", "tickets"]
    return [
        f"Buy {things[i % 8]} now! Price {i}.99, free shipping, add to cart, login, cookie settings, newsletter. "
        f"Customers also bought {things[(i * 3 + 1) % 8]} and {things[(i * 5 + 2) % 8]}. Offer {i} ends soon.\n" * 2
        for i in range(count)
    ]


def source_files(count=40):
    """Source files of the standard library, the smaller ones first."""
    files = sorted(Path(textwrap.__file__).parent.glob("*.py"), key=lambda p: (p.stat().st_size, p.name))
    return [p.read_text(encoding="utf-8") for p in files if p.stat().st_size > 1_000][:count]


def context(step="step", seed=1, **assets):
    """A context with assets by setting."""
    return Context(step, seed, assets)
