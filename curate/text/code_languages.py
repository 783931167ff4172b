"""What is known of programming languages by their files' extensions: how comments look, and which limits are sourced.

Limits come from StarCoder (Li et al. 2023, section 3.2 and its table of extensions), StarCoder2 (Lozhkov et al. 2024,
section 2.1) and The Stack (Kocetkov et al. 2022). What is not in the table is judged by language-neutral rules only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = ["EXTENSIONS", "LANGUAGES", "LONG_LINE", "PYTHON", "Language", "syntax_tables"]


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        name: as in ``meta.language`` of ``read.code``.
        extensions: lower case, without the dot.
        line: up to two signs that begin a comment which ends with its line.
        block: signs around a comment of any length.
        quotes: signs around strings, in which no comment begins.
        long_lines: lines may have LONG_LINE characters, and any mean.
        max_lines: fewer than the general limit.
        min_chars, max_chars: beside the general limits.
        min_alphabetic: instead of the general limit; 0 for none.
        xml_header: files rightly begin with an XML header.
    """

    name: str
    extensions: tuple[str, ...]
    line: tuple[str, ...] = ()
    block: tuple[str, str] | None = None
    quotes: str = ""
    long_lines: bool = False
    max_lines: int | None = None
    min_chars: int | None = None
    max_chars: int | None = None
    min_alphabetic: float | None = None
    xml_header: bool = False


_C: Final = (("//",), ("/*", "*/"))
_ANGLE: Final = ("<!--", "-->")
LONG_LINE: Final = 100_000
"""Characters of a line of HTML, JSON, Markdown, Roff, SMT, TeX, text or XML (StarCoder2)."""

LANGUAGES: Final = (
    Language("python", ("py", "pyi", "pyw"), ("#",), None, "\"'"),
    Language("cython", ("pyx", "pxd"), ("#",), None, "\"'"),
    Language("shell", ("sh", "bash", "zsh", "ksh"), ("#",), None, "\"'"),
    Language("ruby", ("rb", "rake"), ("#",), None, "\"'"),
    Language("perl", ("pl", "pm"), ("#",), None, "\"'"),
    Language("r", ("r",), ("#",), None, "\"'"),
    Language("julia", ("jl",), ("#",), ("#=", "=#"), '"'),
    Language("elixir", ("ex", "exs"), ("#",), None, '"'),
    Language("makefile", ("mk", "mak", "cmake"), ("#",)),
    Language("toml", ("toml",), ("#",), None, "\"'"),
    Language("yaml", ("yaml", "yml"), ("#",), None, "\"'", max_lines=512, min_chars=50, max_chars=5000,
             min_alphabetic=0.5),
    Language("json", ("json",), long_lines=True, max_lines=512, min_chars=50, max_chars=5000, min_alphabetic=0.5),
    Language("c", ("c", "h"), *_C, "\"'"),
    Language("c++", ("cc", "cpp", "cxx", "hpp", "hh", "hxx", "ino"), *_C, "\"'"),
    Language("c#", ("cs",), *_C, "\"'"),
    Language("cuda", ("cu", "cuh"), *_C, "\"'"),
    Language("java", ("java",), *_C, "\"'"),
    Language("kotlin", ("kt", "kts"), *_C, "\"'"),
    Language("scala", ("scala", "sc"), *_C, '"'),
    Language("groovy", ("groovy", "gradle"), *_C, "\"'"),
    Language("javascript", ("js", "jsx", "mjs", "cjs", "es6"), *_C, "\"'`"),
    Language("typescript", ("ts", "tsx"), *_C, "\"'`"),
    Language("go", ("go",), *_C, "\"'`"),
    Language("rust", ("rs",), *_C, '"'),
    Language("swift", ("swift",), *_C, '"'),
    Language("dart", ("dart",), *_C, "\"'"),
    Language("zig", ("zig",), ("//",), None, "\"'"),
    Language("solidity", ("sol",), *_C, "\"'"),
    Language("glsl", ("glsl", "vert", "frag", "shader"), *_C),
    Language("php", ("php",), ("//", "#"), ("/*", "*/"), "\"'"),
    Language("css", ("css",), (), ("/*", "*/"), "\"'"),
    Language("scss", ("scss", "less"), *_C, "\"'"),
    Language("sql", ("sql",), ("--",), ("/*", "*/"), "\"'"),
    Language("lua", ("lua",), ("--",), ("--[[", "]]"), "\"'"),
    Language("haskell", ("hs", "elm"), ("--",), ("{-", "-}"), '"'),
    Language("ada", ("adb", "ads", "vhd", "vhdl"), ("--",), None, '"'),
    Language("ocaml", ("ml", "mli"), (), ("(*", "*)"), '"'),
    Language("f#", ("fs", "fsx", "fsi"), ("//",), ("(*", "*)"), '"'),
    Language("pascal", ("pas", "dpr"), ("//",), ("{", "}"), "'"),
    Language("lisp", ("lisp", "el", "clj", "cljs", "scm", "rkt"), (";",), None, '"'),
    Language("assembly", ("asm", "nasm", "s"), (";", "#"), None, '"'),
    # StarCoder2: the alphabetic limit does not hold for Motorola 68K assembly and WebAssembly.
    Language("assembly 68k", ("x68",), (";", "*"), None, "'", min_alphabetic=0.0),
    Language("webassembly", ("wat", "wast"), (";;",), ("(;", ";)"), '"', min_alphabetic=0.0),
    Language("smt", ("smt2", "smt"), (";",), None, '"', long_lines=True),
    Language("erlang", ("erl", "hrl"), ("%",), None, '"'),
    Language("matlab", ("m",), ("%",)),
    Language("fortran", ("f90", "f95", "f03", "f08"), ("!",), None, "\"'"),
    Language("batch", ("bat", "cmd"), ("::",)),
    Language("tex", ("tex", "sty", "cls"), ("%",), long_lines=True),
    Language("html", ("html", "htm", "xhtml", "xht"), (), _ANGLE, long_lines=True, xml_header=True),
    Language("xml", ("xml", "svg", "xsd"), (), _ANGLE, long_lines=True),
    Language("xslt", ("xsl", "xslt"), (), _ANGLE, xml_header=True),
    Language("markdown", ("md", "markdown", "mkd", "mdx"), long_lines=True),
    Language("rmarkdown", ("rmd",)),
    Language("restructuredtext", ("rst",)),
    Language("roff", ("roff", "man"), long_lines=True),
    Language("text", ("txt",), long_lines=True, max_lines=512),
    Language("owl", ("owl",), max_lines=512),
    Language("graphviz", ("dot", "gv"), *_C, '"', max_lines=512),
    Language("csv", ("csv", "tsv"), max_lines=512),
)  # fmt: skip
"""All known languages; CSV's limit is ours, by likeness to the data formats that StarCoder2 limits so."""

EXTENSIONS: Final = {extension: number for number, one in enumerate(LANGUAGES) for extension in one.extensions}
"""Index into LANGUAGES by extension."""
PYTHON: Final = LANGUAGES[0].extensions
"""Extensions of Python files."""


def syntax_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How each language writes comments, for kernels.

    Returns:
        signs: uint8[languages, 4, 4]: two line signs, the block's beginning and its end, padded with zeros.
        lengths: int64[languages, 4]: their lengths, 0 where there is none.
        first: uint8[languages, 256]: 1 for a byte that begins a comment's sign, 2 for a quote, 0 for others.
    """
    count = len(LANGUAGES)
    signs = np.zeros((count, 4, 4), np.uint8)
    lengths = np.zeros((count, 4), np.int64)
    first = np.zeros((count, 256), np.uint8)
    for number, language in enumerate(LANGUAGES):
        slots = [*language.line, *[""] * (2 - len(language.line)), *(language.block or ("", ""))]
        for slot, sign in enumerate(slots):
            raw = sign.encode()
            signs[number, slot, : len(raw)] = list(raw)
            lengths[number, slot] = len(raw)
            if raw and slot < 3:
                first[number, raw[0]] = 1
        for quote in language.quotes.encode():
            first[number, quote] = 2
    return signs, lengths, first
