"""The child process that runs the embedded server; started by curate.llm.local, never by hand.

It writes one line of JSON to its standard output when it listens (``{"url": ...}``) or can't (``{"error": ...}``),
and ends when its standard input does: the driver holds the other end, so no way of dying leaves a server behind.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def _die_with(parent: int) -> None:
    # The kernel's own way, for a driver killed by SIGKILL while a forked process still holds the pipe's other end.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _start(args: argparse.Namespace) -> object:
    """A listening server; returns once the model is loaded."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = args.weights
    params.model_alias = {args.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the kernel chooses a free one
    params.n_parallel = args.slots
    params.n_ctx = args.slots * args.context  # divided among the slots
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
    params.cache_ram_mib = 0  # its store of old prompts may otherwise grow to 8 GiB
    params.ui = False
    if args.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_batch = params.n_ubatch = args.context  # a text is pooled in one batch, or not at all
    return xllamacpp.Server(params)


def main() -> None:
    """Start, say so, wait for the end of standard input."""
    parser = argparse.ArgumentParser()
    for name in ("weights", "alias"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("threads", "slots", "context", "parent"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--embeddings", action="store_true")
    args = parser.parse_args()
    _die_with(args.parent)
    # Ctrl-C in a terminal goes to the whole group; the driver decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # llama.cpp may print to standard output too: that goes to the log, and the hand-shake keeps its own copy.
    hello = os.dup(1)
    os.dup2(2, 1)
    try:
        server = _start(args)
        message = {"url": server.listening_address}  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001  # whatever it is, the driver must hear of it
        message = {"error": f"{type(error).__name__}: {error}"}
    os.write(hello, json.dumps(message).encode() + b"\n")
    os.close(hello)
    if "error" in message:
        sys.exit(1)  # in good order: llama.cpp's log is written by a thread of its own, and says more
    sys.stdin.buffer.read()
    os._exit(0)  # the server's own shut-down waits for answers nobody will read


if __name__ == "__main__":
    main()
