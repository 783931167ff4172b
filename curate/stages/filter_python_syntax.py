"""Python files by their syntax tree."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound
from curate.stages.registry import register
from curate.text.batch import Batch

_LONGEST_NAME: Final = 1000
"""Bytes of a name with other than ASCII letters: Python takes their normal form, in up to the square of the length."""


@register("filter.python_syntax")
class PythonSyntax(Filter):
    """Drop Python files that do not parse, or whose syntax tree is not what a lesson looks like.

    The tree is that of the running Python's own parser, so the result depends on its minor version (3.11, 3.12, ...):
    a step begun under one is not gone on with under another. Files are bounded by bytes, depth and nodes, never by
    time. Depth and nodes are estimated from above before anything is parsed (``curate.text.python_bounds``), so files
    made to break a parser (100,000 brackets) never reach it. Python files are those with the extension py, pyi or pyw
    in ``meta`` or in the record's own id; files with another known extension stay, with null signals.
    """

    revision: ClassVar[int] = 1
    needs_python: ClassVar[bool] = True
    reasons: ClassVar[Mapping[str, str]] = {
        "too_large": "more bytes than max_bytes, or a name of more than 1,000 bytes with other than ASCII letters",
        "too_deep": "brackets, blocks or chains of operators nested deeper than max_depth",
        "too_many_nodes": "more names, numbers, strings and signs than max_nodes",
        "not_python": "does not parse",
        "only_imports": "nothing but imports, documentation strings and names such as __all__",
        "no_function": "fewer functions and classes than min_functions",
        "undocumented": "fewer functions with a docstring than min_documented",
    }

    default_extension: str = Field(
        "py", pattern=r"^[a-z0-9+_-]{0,12}$", description="extension of files without a known one; empty: these stay"
    )
    max_bytes: int = Field(1_000_000, ge=1, le=8 << 20, description="larger files are `too_large` (The Stack: 1 MB)")
    max_depth: int = Field(200, ge=1, le=300, description="nesting allowed (CPython: 200 brackets; ours)")
    max_nodes: int = Field(200_000, ge=1, le=2_000_000, description="tokens that make nodes, at most (ours)")
    drop_only_imports: bool = Field(True, description="drop files that do nothing themselves (phi-1's complaint; ours)")
    min_functions: int = Field(0, ge=0, description="functions, methods and classes (ours: off)")
    min_documented: float = Field(
        0.0, ge=0, le=1, description="share of functions with a docstring, where there are any (ours: off)"
    )

    bounds: ClassVar[Sequence[Bound]] = (
        Bound("too_large", "bytes", ">", "max_bytes"),
        Bound("too_deep", "depth", ">", "max_depth"),
        Bound("too_many_nodes", "nodes", ">", "max_nodes"),
        Bound("undocumented", "documented_share", "<", "min_documented"),
    )
    decide_settings: ClassVar[frozenset[str]] = frozenset({"drop_only_imports", "min_functions"})
    measure_settings: ClassVar[frozenset[str]] = frozenset({"max_bytes", "max_depth", "max_nodes"})

    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "bytes": pa.int64(),
        "longest_name": pa.int64(),
        "depth": pa.int64(),
        "nodes": pa.int64(),
        "parses": pa.bool_(),
        "statements": pa.int64(),
        "functions": pa.int64(),
        "classes": pa.int64(),
        "documented": pa.int64(),
        "imports": pa.int64(),
        "logic": pa.int64(),
        "documented_share": pa.float64(),
    }

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """All null for files of other languages; ``parses`` and what follows for those out of bounds, and
        ``documented_share`` for those without a function.

        ``nodes`` counts tokens, ``depth`` bounds the tree's from above. The bounds are settings of what is measured:
        another one measures anew.
        """
        from curate.text.code_paths import languages, python_files
        from curate.text.python_bounds import python_bounds
        from curate.text.python_tree import TREE, python_trees

        offsets, data = docs.utf8
        _, numbers = languages(docs.column("meta"), docs.column("origin"), self.default_extension)
        python = python_files(numbers)
        size = np.diff(offsets)
        bounds = python_bounds(offsets, data, python & (size <= self.max_bytes), nested=sys.version_info >= (3, 12))
        asked = python & (size <= self.max_bytes) & (bounds["longest_name"] <= _LONGEST_NAME)
        asked &= (bounds["depth"] <= self.max_depth) & (bounds["tokens"] <= self.max_nodes)
        # Brackets that do not match are a mistake in any version: no need to ask the parser.
        parsed = asked & (bounds["balanced"] > 0)
        counts = np.zeros((len(docs), len(TREE)), np.int64)
        for row, found in zip(np.flatnonzero(parsed), python_trees(_rows(offsets, data, parsed)), strict=True):
            if found is None:
                parsed[row] = False
            else:
                counts[row] = found
        values: dict[str, pa.Array] = {
            "bytes": pa.array(size, mask=~python),
            "longest_name": pa.array(bounds["longest_name"], mask=~python),
            "depth": pa.array(bounds["depth"], mask=~python),
            "nodes": pa.array(bounds["tokens"], mask=~python),
            "parses": pa.array(parsed, mask=~asked),
        }
        values |= {name: pa.array(counts[:, i], mask=~parsed) for i, name in enumerate(TREE)}
        functions = counts[:, TREE.index("functions")]
        share = counts[:, TREE.index("documented")] / np.maximum(functions, 1)
        return values | {"documented_share": pa.array(share, mask=~parsed | (functions == 0))}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Those of ``bounds`` and what no table can say, in the order of ``reasons``."""
        s, tried = signals, dict(super().rules(signals))
        tried["too_large"] = pc.or_(tried["too_large"], pc.greater(s["longest_name"], _LONGEST_NAME))
        tried["not_python"] = pc.invert(s["parses"])
        tried["only_imports"] = pc.and_(pc.equal(s["logic"], 0), self.drop_only_imports)
        tried["no_function"] = pc.less(pc.add(s["functions"], s["classes"]), self.min_functions)
        return [(reason, tried[reason]) for reason in self.reasons]


def _rows(
    offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], wanted: npt.NDArray[np.bool_]
) -> Iterator[bytes]:
    for row in np.flatnonzero(wanted):
        yield data[offsets[row] : offsets[row + 1]].tobytes()
