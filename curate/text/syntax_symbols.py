"""Symbols of Python's normal form: which words stand for themselves, and the numbers of all symbols.

The lists are pinned: they are those of CPython 3.13 (``keyword.kwlist``, ``builtins``, the public methods of the built-in
types) and of the modules that short exercises use most; a change of them is a change of ``syntax.GRAMMAR``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "AS_CALL", "AS_METHOD", "CLOSE", "COLON", "HEADS", "KEYWORD", "NAME", "OPENING", "SOFT", "TABLE", "fnv",
]  # fmt: skip

KEYWORDS: Final = (
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or",
    "pass", "raise", "return", "try", "while", "with", "yield",
)  # fmt: skip
_OPENERS: Final = (
    "async", "class", "def", "elif", "else", "except", "finally", "for", "if", "try", "while", "with",
)  # fmt: skip
BUILTINS: Final = (
    "ArithmeticError", "AssertionError", "AttributeError", "BaseException", "EOFError", "Exception", "ImportError",
    "IndexError", "KeyError", "KeyboardInterrupt", "LookupError", "MemoryError", "NameError", "NotImplementedError",
    "OSError", "OverflowError", "RecursionError", "RuntimeError", "StopIteration", "SyntaxError", "SystemExit",
    "TypeError", "UnicodeDecodeError", "UnicodeEncodeError", "ValueError", "ZeroDivisionError", "abs", "all", "any",
    "ascii", "bin", "bool", "bytearray", "bytes", "callable", "chr", "classmethod", "compile", "complex", "delattr",
    "dict", "dir", "divmod", "enumerate", "eval", "exec", "filter", "float", "format", "frozenset", "getattr",
    "globals", "hasattr", "hash", "hex", "id", "input", "int", "isinstance", "issubclass", "iter", "len", "list",
    "locals", "map", "max", "memoryview", "min", "next", "object", "oct", "open", "ord", "pow", "print", "property",
    "range", "repr", "reversed", "round", "set", "setattr", "slice", "sorted", "staticmethod", "str", "sum", "super",
    "tuple", "type", "vars", "zip",
)  # fmt: skip
METHODS: Final = (
    # of str, bytes, list, tuple, dict, set, int, float, generators and files
    "add", "append", "as_integer_ratio", "bit_count", "bit_length", "capitalize", "casefold", "center", "clear", "close",
    "conjugate", "copy", "count", "decode", "difference", "difference_update", "discard", "encode", "endswith",
    "expandtabs", "extend", "find", "format", "format_map", "from_bytes", "fromhex", "fromkeys", "get", "hex", "index",
    "insert", "intersection", "intersection_update", "is_integer", "isalnum", "isalpha", "isascii", "isdecimal",
    "isdigit", "isdisjoint", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "issubset",
    "issuperset", "istitle", "isupper", "items", "join", "keys", "ljust", "lower", "lstrip", "maketrans", "partition",
    "pop", "popitem", "read", "readline", "readlines", "remove", "removeprefix", "removesuffix", "replace", "reverse",
    "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "send", "setdefault", "sort", "split", "splitlines",
    "startswith", "strip", "swapcase", "symmetric_difference", "throw", "title", "to_bytes", "translate", "union",
    "update", "upper", "values", "write", "writelines", "zfill",
    # of math, re, collections, itertools, functools, heapq, bisect, random, string, hashlib
    "accumulate", "bisect", "bisect_left", "bisect_right", "ceil", "chain", "choice", "combinations", "compile", "cos",
    "cycle", "digest", "elements", "exp", "factorial", "findall", "finditer", "floor", "fsum", "fullmatch", "gcd",
    "group", "groupby", "groups", "heapify", "heappop", "heappush", "heapreplace", "hexdigest", "hypot", "islice",
    "isclose", "isqrt", "lcm", "log", "log10", "log2", "match", "md5", "most_common", "nlargest", "nsmallest",
    "permutations", "popleft", "appendleft", "pow", "prod", "product", "randint", "reduce", "repeat", "search",
    "shuffle", "sin", "sqrt", "starmap", "sub", "tan", "zip_longest",
)  # fmt: skip

KEYWORD, OPENING, AS_CALL, AS_METHOD, SOFT, HEADS = 1, 2, 4, 8, 16, 32
"""Bits: always itself; opens a block where it begins a statement; itself where it is called; itself where it is called
behind a dot; a keyword only where a statement begins with it and a value follows; def or class."""

NAME: Final = 1
"""The symbol of every name that its writer chose."""
CLOSE: Final = 2
"""The symbol of the end of a block."""
COLON: Final = ord(":")
"""Signs are their own bytes, from the lowest: at most three."""
_BASIS: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3


def fnv(word: bytes) -> int:
    """FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv)."""
    value = _BASIS
    for byte in word:
        value = (value ^ byte) * _PRIME & 0xFFFFFFFFFFFFFFFF
    return value


def _table() -> npt.NDArray[np.uint64]:
    bits: dict[str, int] = {}
    lists = ((KEYWORDS, KEYWORD), (_OPENERS, OPENING), (BUILTINS, AS_CALL), (METHODS, AS_METHOD))
    for words, bit in (*lists, (("match", "case", "type", "print", "exec"), SOFT), (("def", "class"), HEADS)):
        for word in words:
            bits[word] = bits.get(word, 0) | bit
    table = np.zeros((1024, 2), np.uint64)
    for word in sorted(bits):
        value = fnv(word.encode())
        slot = (value ^ (value >> 32)) & 1023
        while table[slot, 1]:
            slot = (slot + 1) & 1023
        table[slot] = value, bits[word]
    return table


TABLE: Final = _table()
"""uint64[1024, 2]: (fnv of a word, its bits) by open addressing; 0 bits in an empty slot."""
