"""The normal form of functions by the interpreter's own parser, and match rates by the whole table: slow and obvious."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter

from curate.text.syntax_symbols import BUILTINS, KEYWORDS, METHODS, fnv

M64 = (1 << 64) - 1
GONE, ELSE_IF = "__gone__", "__else_if__"
_LITERAL = re.compile(r"""([a-zA-Z]{0,2})(\"{3}|'{3}|"|')((?:\\.|(?!\2).)*)\2""", re.DOTALL)


def mix64(x):
    x ^= x >> 33
    x = x * 0xFF51AFD7ED558CCD & M64
    x ^= x >> 33
    x = x * 0xC4CEB9FE1A85EC53 & M64
    return x ^ x >> 33


def coded(value, what):
    return (mix64((value + what) & M64) >> 33) | 1 << 31


def fnv_on(value, units):
    for unit in units:
        value = (value ^ unit) * 0x100000001B3 & M64
    return value


def string_symbol(source):
    """That of adjacent string literals, as they are written."""
    value = None
    for prefix, _, content in _LITERAL.findall(source):
        if value is None:
            value = fnv(b"") + (2 if "b" in prefix.lower() else 0)
        content = content.replace("\r\n", "\n")
        depth, i, units = 0, 0, []
        while i < len(content):
            pair = content[i : i + 2]
            if content[i] == "\\":
                if depth == 0 and pair[1:] != "\n":
                    units += (pair[1:] if pair[1:] in ("'", '"') else pair).encode()
                i += 2
                continue
            if {"f", "t"} & set(prefix.lower()) and content[i] in "{}":
                if depth == 0 and pair in ("{{", "}}"):
                    units += pair[:1].encode()
                    i += 2
                    continue
                if content[i] == "{":
                    units += [256] if depth == 0 else []
                    depth += 1
                else:
                    depth -= 1
            elif depth == 0:
                units += content[i].encode()
            i += 1
        value = fnv_on(value, units)
    return coded(value, 3)


class Stripped(ast.NodeTransformer):
    """Statements and annotations that do not count go; a number or string is a name that says its symbol."""

    def __init__(self, source):
        self.lines = source.split("\n")

    def segment(self, node):
        first, last = node.lineno - 1, node.end_lineno - 1
        lines = [line.encode() for line in self.lines[first : last + 1]]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"\n".join(lines).decode()

    def visit_Constant(self, node):
        if isinstance(node.value, str | bytes):
            return ast.Name(f"__symbol_{string_symbol(self.segment(node))}__", ast.Load())
        if isinstance(node.value, int | float | complex) and not isinstance(node.value, bool):
            number = self.segment(node).lower().replace("_", "").encode()
            return ast.Name(f"__symbol_{coded(fnv(number), 2)}__", ast.Load())
        return node

    def visit_JoinedStr(self, node):
        return ast.Name(f"__symbol_{string_symbol(self.segment(node))}__", ast.Load())

    def gone(self, node):
        return ast.Expr(ast.Name(GONE, ast.Load()))

    visit_Import = visit_ImportFrom = gone  # noqa: N815

    def visit_Expr(self, node):
        value = node.value
        if isinstance(value, ast.JoinedStr) or (
            isinstance(value, ast.Constant) and isinstance(value.value, str | bytes)
        ):
            return self.gone(node)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if node.value is None:
            return self.gone(node)
        return ast.Assign([self.visit(node.target)], self.visit(node.value), lineno=node.lineno)

    def visit_arg(self, node):
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node):
        node.decorator_list = []
        node.returns = None
        done = next((i for i, s in enumerate(node.body) if isinstance(s, ast.Return | ast.Raise)), len(node.body))
        del node.body[done + 1 :]
        if hasattr(node, "type_params"):
            node.type_params = []
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node):
        node.decorator_list = []
        return self.generic_visit(node)

    def visit_If(self, node):
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            inner = node.orelse[0]
            if self.lines[inner.lineno - 1].encode()[inner.col_offset :].startswith(b"if"):
                node.orelse.insert(0, ast.Expr(ast.Name(ELSE_IF, ast.Load())))
        return self.generic_visit(node)


def symbols_of(source):
    """Readable symbols of Python that ``ast.unparse`` wrote."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type != tokenize.COMMENT]
    out, groups = [], []
    operand = False
    for i, token in enumerate(tokens):
        text = token.string
        after = tokens[i + 1].string if i + 1 < len(tokens) else ""
        if token.type == tokenize.DEDENT:
            out.append("CLOSE")
        elif token.type == tokenize.NAME:
            dotted, before = (i and tokens[i - 1].string == "."), (tokens[i - 1].string if i else "")
            if text in (GONE, ELSE_IF):
                continue
            if text.startswith("__symbol_"):
                out.append(int(text[9:-2]))
                operand = True
            elif text in KEYWORDS and not dotted:
                if text == "in" and out[-1] == ",":
                    out.pop()
                out.append(text)
                operand = text in ("True", "False", "None")
            else:
                kept = after == "(" and text in (METHODS if dotted else BUILTINS) and before not in ("def", "class")
                out.append(f"word {text}" if kept else "NAME")
                operand = True
        elif token.type == tokenize.OP:
            if text == "=" and out[-1] == ",":
                out.pop()
            if text in "([{":
                kept = text != "(" or operand or after == ")"
                groups.append(kept)
            elif text in ")]}":
                if out and out[-1] == ",":
                    out.pop()
                kept = groups.pop()
            else:
                kept = True
            if kept:
                out.append(text)
            operand = text in ")]}" or text == "..."
        elif token.type in (tokenize.NEWLINE, tokenize.NL):
            if out and out[-1] == ",":
                out.pop()
            operand = False
    return out


def number_of(symbol):
    """The kernel's number of a readable symbol."""
    if isinstance(symbol, int):
        return symbol
    if symbol in ("NAME", "CLOSE"):
        return 1 if symbol == "NAME" else 2
    if symbol in KEYWORDS or symbol.startswith("word "):
        return coded(fnv(symbol.removeprefix("word ").encode()), 1)
    return int.from_bytes(symbol.encode(), "little")


def bodies(source):
    """{byte offset of a function's line: its body's symbols}, for Python that parses."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line.encode()) + 1)
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    places = [(starts[node.lineno - 1], node) for node in found]
    Stripped(source).visit(tree)
    result = {}
    for start, node in places:
        text = ast.unparse(ast.fix_missing_locations(ast.Module(node.body, []))) + "\n"
        out = symbols_of(text)
        while out and out[-1] == "CLOSE":
            out.pop()
        result[start] = [number_of(symbol) for symbol in out]
    return result


def edits(a, b):
    """Levenshtein's distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        old, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(old[j] + 1, row[-1] + 1, old[j - 1] + (x != y)))
    return row[-1]


def rate(one, two):
    """tau of two bodies: (symbols, [(hash, depth, size) of each statement])."""
    longer = max(len(one[0]), len(two[0]))
    parts = [Counter(body[1]) for body in (one, two)]
    weights = [sum(size * count for (_, _, size), count in part.items()) for part in parts]
    common = sum(size * count for (_, _, size), count in (parts[0] & parts[1]).items())
    return max(1 - edits(one[0], two[0]) / longer, common / max(weights))
