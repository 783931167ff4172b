"""The layers of an index: what of items each is made of, and whether arrays that were read are one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.benchmarks.items import Item
from curate.errors import InputError
from curate.text import overlap, rephrased, rephrased_joined
from curate.text.arrow import buffers
from curate.text.overlap_joined import fault
from curate.text.overlap_units import ANSWER, CHOICE, PROMPT, SHOT, TEST, build
from curate.text.rephrased import RephraseIndex
from curate.text.syntax import TreeIndex, Trees, functions, joined_trees, main_functions, tree_index, trees
from curate.text.words import words

_KINDS: Final = {
    "owners": "i8", "names": "u8", "signatures": "u8", "symbols_at": "i8", "symbols": "u4", "statements_at": "i8", "statements": "u8",
    "depths": "i8", "sizes": "i8",
}  # fmt: skip
"""Of the arrays of ``Trees``."""

Arrays = Mapping[str, npt.NDArray[Any]]


def word_layer(items: Sequence[Item]) -> overlap.Index:
    """Word n-grams of all texts of items; raises InputError with the place of a prompt that has no words."""
    texts: list[str] = []
    owners: list[int] = []
    parts: list[int] = []
    for number, item in enumerate(items):
        said = [(PROMPT, item.prompt), (ANSWER, item.answer), (TEST, item.test), (SHOT, item.few_shot)]
        said += [(CHOICE, choice) for choice in item.choices]
        for part, text in said:
            if text:
                texts.append(text)
                owners.append(number)
                parts.append(part)
    found = words(*buffers(pa.array(texts, pa.large_string())), "alphanumeric")
    for row, part in enumerate(parts):
        if part == PROMPT and found.rows[row] == found.rows[row + 1]:
            cure = "repair or remove it"
            raise InputError("no item: its prompt has no words", place=items[owners[row]].place, cure=cure)
    return build(found, owners, parts)


def words_of(arrays: Arrays, items: int) -> overlap.Index:
    """An index of words from a file; raises ValueError for what is none of so many items."""
    if set(arrays) != {field.name for field in dataclasses.fields(overlap.Index)}:
        raise ValueError("other arrays are in it")
    made = overlap.Index(**arrays)
    if why := fault(made, items):
        raise ValueError(why)
    return made


def tree_layer(items: Sequence[Item]) -> Trees:
    """The functions of the solutions of items that ask for code."""
    code = [i for i, item in enumerate(items) if item.asks_for_code]
    texts = pa.array([items[i].solution for i in code], pa.large_string())
    found = functions(*buffers(texts))
    main = main_functions(found, [items[i].entry_point or None for i in code])
    return trees(found, main[main >= 0], np.array(code, np.int64)[main >= 0])


def trees_of(arrays: Arrays, items: int) -> Trees:
    """Trees from a file; raises ValueError for what is none of so many items."""
    if set(arrays) != set(_KINDS):
        raise ValueError("other arrays are in it")
    for name, kind in _KINDS.items():
        if arrays[name].ndim != 1 or arrays[name].dtype != np.dtype(kind):
            raise ValueError(f"{name} has other values")
    made = Trees(**arrays)
    if ((made.owners < 0) | (made.owners >= items)).any():
        raise ValueError("owners is not what it must be")
    if len(made.owners):
        tree_index(made)
    return made


def tree_index_of(several: Sequence[Trees], firsts: Sequence[int]) -> TreeIndex | None:
    """One index of the trees of several, whose items are numbered from ``firsts`` on; None where there are none."""
    known = joined_trees(several, firsts)
    return tree_index(known) if len(known.owners) else None


def prompt_layer(items: Sequence[Item]) -> RephraseIndex:
    """Stems of prompts."""
    return rephrased.build([item.prompt for item in items], range(len(items)))


def vector_layer(items: Sequence[Item]) -> npt.NDArray[np.float16]:
    """Static embeddings of the passages of ``prompt_layer``; raises InputError where the extra is not installed."""
    from curate.quality.rephrased_vectors import passage_vectors

    return passage_vectors([item.prompt for item in items])


def prompts_of(arrays: Arrays, items: int) -> RephraseIndex:
    """Stems of prompts from a file; raises ValueError for what is none of so many items."""
    if set(arrays) != {field.name for field in dataclasses.fields(RephraseIndex)}:
        raise ValueError("other arrays are in it")
    made = RephraseIndex(**arrays)
    if why := rephrased_joined.fault(made, items):
        raise ValueError(why)
    return made
