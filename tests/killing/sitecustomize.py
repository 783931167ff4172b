"""On the path of a process, makes rows that hold certain words kill it: what a native library does that crashes.

Python imports ``sitecustomize`` when it starts, in workers too. Nothing of curate knows of this; what is patched is the
one place where every filter measures.

    KILLER        ends the process when any step measures the row
    KILLER-step   the same in the step of that id
    HUNGRY        takes memory until somebody ends the process
    SLOW          takes a second, and no CPU
    GREEDY        takes 5 MB while it is measured, and its neighbours in a batch theirs beside it

With KILLING_SLEEPS in the environment a killer sleeps instead, for a minute, after saying so on stderr.
"""

import importlib.abc
import importlib.machinery
import os
import re
import signal
import sys
import time

_PLACE = "curate.run.warm"


def _patch(module):
    measure = module.measure

    def measured(step, docs):
        for text in docs.text.to_pylist():
            said = re.search(r"KILLER(?:-(\w+))?", text)
            if said and said[1] in (None, step.id):
                _die()
            time.sleep("SLOW" in text)
            if "HUNGRY" in text:
                _eat()
        _hold(sum("GREEDY" in text for text in docs.text.to_pylist()) * 5)
        return measure(step, docs)

    module.measure = measured


def _die():
    if "KILLING_SLEEPS" not in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    print("asleep", file=sys.stderr, flush=True)
    time.sleep(60)


def _hold(megabytes):
    held = [b"x" * (1 << 20) for _ in range(megabytes)]
    if len(held) > 500:
        time.sleep(5)


def _eat():
    held = []
    for _ in range(300):
        held.append(bytearray(os.urandom(1 << 20)) * 32)
        time.sleep(0.02)  # Somebody who watches looks ten times a second.


class _Loader(importlib.abc.Loader):
    def __init__(self, real):
        self._real = real

    def create_module(self, spec):
        return self._real.create_module(spec)

    def exec_module(self, module):
        self._real.exec_module(module)
        _patch(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != _PLACE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
