"""Which bytes of some texts lie in a window that began before, by a suffix array: run by tests.peers.substring in an
environment that has pydivsufsort, with the window's length, a file of texts and where to write the marks."""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np


def main() -> None:
    """Read offsets and bytes of texts in keep order; write a packed mark for each byte; print what it took."""
    from pydivsufsort import divsufsort, kasai

    length, given, out = int(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3]
    offsets, data = given["offsets"], given["data"]
    count = len(offsets) - 1
    # No byte of UTF-8 is 255: it stands between texts. Windows that hold one are none.
    where = np.arange(len(data)) + np.repeat(np.arange(count), np.diff(offsets))
    text = np.full(len(data) + count, 255, np.uint8)
    text[where] = data
    left = np.zeros(len(text), np.int64)
    left[where] = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(data))
    start = time.process_time()
    raw = text.tobytes()
    suffixes = np.asarray(divsufsort(raw))
    sorted_ = time.process_time()
    common = np.asarray(kasai(raw, suffixes))
    done = time.process_time()
    group = np.cumsum(np.append(True, common[:-1] < length)) - 1
    whole = left[suffixes] >= length
    first = np.full(group[-1] + 1, len(text), np.int64)
    np.minimum.at(first, group[whole], suffixes[whole])
    repeats = suffixes[whole & (suffixes != first[group])]
    marks = np.zeros(len(text) + length + 1, np.int64)
    np.add.at(marks, repeats, 1)
    np.add.at(marks, repeats + length, -1)
    np.save(out, np.packbits((np.cumsum(marks)[: len(text)] > 0)[where]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"sort_s": sorted_ - start, "seconds": done - start, "peak_mb": peak}))


if __name__ == "__main__":
    main()
