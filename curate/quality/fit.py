"""A script: train one fastText model in a process of its own, in which fresh memory is zero.

    python -P fit.py ROWS MODEL SETTINGS      rows as fastText reads them, the file to write, its arguments as JSON

Why a process of its own: with one thread (and only one thread gives a repeatable model) fastText fills just the first
tenth of its input matrix with random numbers and takes the rest as the allocator gives it, see ``uniform`` in its
``densematrix.cc``. Large matrices come from fresh pages and are zero there; smaller ones hold what was freed before:
then two trainings differ, and often end with "Encountered NaN" at any learning rate. ENVIRONMENT makes glibc hand out
zeros. Elsewhere (macOS, musl) only large matrices are sure to be zero. This file imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Final

_TUNABLES: Final = "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0"
"""Memory is filled with 255 XOR 0xFF = 0 when it is handed out; the cache that skips this is off."""


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """The environment for this script's process: ``base``, and memory that is zero."""
    given = os.environ.get("GLIBC_TUNABLES")
    return {**base, "GLIBC_TUNABLES": f"{given}:{_TUNABLES}" if given else _TUNABLES}


def main(rows: str, model: str, settings: str) -> None:
    """Train, quantize if asked to, save."""
    import fasttext

    arguments = json.loads(settings)
    quantize = arguments.pop("quantize", None)
    try:
        trained = fasttext.train_supervised(input=rows, thread=1, seed=0, verbose=0, **arguments)
        if quantize:
            trained.quantize(input=rows if quantize["retrain"] else None, thread=1, verbose=0, **quantize)
        trained.save_model(model)
    except (ValueError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
