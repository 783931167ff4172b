"""Items changed as contamination is changed: from verbatim to said otherwise.

Each strength is a function from an item to a text, or to None where the item has nothing of the kind (a function without
statements that can change places). They parse with the interpreter's ``ast``, which only tests may.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from typing import Final

from tests.contamination.items import Item, reworded

_WORDS: Final = ("box", "leaf", "stone", "cloud", "river", "spoon", "lamp", "brick", "fern", "gull", "knot", "plum")
_JUMPS: Final = (ast.Return, ast.Raise, ast.Break, ast.Continue, ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)


# -- layout -----------------------------------------------------------------------------------------------------------


def verbatim(item: Item) -> str:
    """As it is."""
    return item.whole


def reformatted(item: Item) -> str:
    """Code: tabs, carriage returns, spaces around signs, parentheses and comments; prose: case, signs, line breaks."""
    return _laid_out(item.source) if item.code else shouted(item)


def _laid_out(source: str) -> str:
    lines = source.split("\n")
    widths = [len(line) - len(line.lstrip(" ")) for line in lines]
    tabs = not any(width % 4 for width in widths)
    out = []
    for line, width in zip(lines, widths, strict=True):
        body = line[width:]
        statement = re.match(r"(for|while|if|return)\b", body)
        out.append(("\t" * (width // 4) if tabs else " " * 2 * width) + body + ("  # so" if statement else ""))
        if statement and body.endswith(":"):
            out.append("")
    return "\r\n".join(out)


def shouted(item: Item) -> str:
    """All in upper case with other signs, a few words a line."""
    words = re.sub(r"[^\w]+", " ", item.whole).upper().split()
    return "\n".join("; ".join(words[i : i + 6]) + " --" for i in range(0, len(words), 6))


# -- names ------------------------------------------------------------------------------------------------------------


def renamed(item: Item) -> str | None:
    """All names that the writer chose are others, the function's within its docstring, too."""
    return _renamed(item.source) if item.code else None


def renamed_bare(item: Item) -> str | None:
    """As ``renamed``, without docstrings."""
    return _renamed(_bare(item)) if item.code else None


def _bare(item: Item) -> str:
    """The code without docstrings, as ``ast.unparse`` lays it out."""
    tree = ast.parse(item.source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.Module) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree) + "\n"


def _chosen(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _renamed(source: str) -> str:
    tree = ast.parse(source)
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    old = sorted(set(_chosen(tree)) - {"self"})
    new = {name: f"{_WORDS[i % len(_WORDS)]}{i // len(_WORDS) or ''}" for i, name in enumerate(old)}
    places = {(n.lineno, n.col_offset) for n in ast.walk(tree) if isinstance(n, ast.Name | ast.arg)}
    in_docs = re.compile("|".join(rf"\b{re.escape(name)}\b(?=\()" for name in functions) or "(?!)")
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        row, start = token.start[0] - 1, len(token.line[: token.start[1]].encode())
        if token.type == tokenize.NAME and token.string in new:
            line = lines[row]
            if (row + 1, start) in places or line[:start].split()[-1:] in ([b"def"], [b"class"]):
                lines[row] = line[:start] + new[token.string].encode() + line[start + len(token.string.encode()) :]
    return in_docs.sub(lambda m: new[m[0]], b"".join(lines).decode())


# -- order ------------------------------------------------------------------------------------------------------------


def reordered(item: Item) -> str | None:
    """Neighbouring statements that don't depend on each other change places; the docstring stays."""
    return _reordered(item.source) if item.code else None


def reordered_bare(item: Item) -> str | None:
    """As ``reordered``, without docstrings and with other names."""
    found = _reordered(_bare(item)) if item.code else None
    return found and _renamed(found)


def _touched(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Names read, and names that are bound, or may be changed by a method or an item's assignment."""
    read: set[str] = set()
    written: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else written).add(node.id)
        elif isinstance(node, ast.FunctionDef):
            written.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            written |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        target = node.func if isinstance(node, ast.Call) else node
        if isinstance(target, ast.Attribute | ast.Subscript) and (
            isinstance(node, ast.Call) or isinstance(target.ctx, ast.Store | ast.Del)
        ):
            base: ast.expr = target
            while isinstance(base, ast.Attribute | ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name):
                written.add(base.id)
    return read, written


def _independent(one: ast.stmt, two: ast.stmt) -> bool:
    for statement in (one, two):
        for node in ast.walk(statement):
            inside = isinstance(statement, ast.FunctionDef)
            unknown = (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not hasattr(builtins, node.func.id)
            )
            if not inside and (isinstance(node, _JUMPS) or unknown):
                return False
    (read1, written1), (read2, written2) = _touched(one), _touched(two)
    return not (written1 & (read2 | written2) or written2 & read1)


def _reordered(source: str) -> str | None:
    tree = ast.parse(source)
    moved = False
    for node in ast.walk(tree):
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if not isinstance(block, list) or isinstance(node, ast.Module):
                continue
            i = 1 if block and isinstance(block[0], ast.Expr) and isinstance(block[0].value, ast.Constant) else 0
            while i + 1 < len(block):
                if _independent(block[i], block[i + 1]) and ast.dump(block[i]) != ast.dump(block[i + 1]):
                    block[i], block[i + 1] = block[i + 1], block[i]
                    moved = True
                    i += 1
                i += 1
    return ast.unparse(tree) + "\n" if moved else None


# -- words ------------------------------------------------------------------------------------------------------------


def _examples(docstring: str) -> str:
    """From the first ``>>>`` on."""
    at = docstring.find(">>>")
    return textwrap.dedent(" " * 4 + docstring[at:]).strip() if at >= 0 else ""


def _with_docstring(item: Item, prose: str, *, examples: bool, answer: str, name: str = "") -> str:
    tree = ast.parse(item.source)
    node = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == item.entry_point)
    head = item.prompt[: item.prompt.index(f"def {item.entry_point}")]
    signature = item.prompt[len(head) :].partition('"""')[0].partition("'''")[0].rstrip()
    signature = signature.replace(f"def {item.entry_point}", f"def {name or item.entry_point}")
    lines = textwrap.wrap(prose, 90)
    if examples:
        lines += _examples(ast.get_docstring(node, clean=True) or "").split("\n")
    docstring = textwrap.indent('"""' + "\n".join(lines).rstrip() + '\n"""\n', "    ")
    return head + signature + "\n" + docstring + answer


def translated(item: Item) -> str | None:
    """Docstring in another language; names, examples and code as they are. For the items of humaneval_reworded.yaml."""
    found = reworded().get(item.name)
    return found and _with_docstring(item, found["translated"], examples=True, answer=item.answer)


def paraphrased(item: Item) -> str | None:
    """The prompt alone in other words, another function's name, no examples. For the items of humaneval_reworded.yaml."""
    found = reworded().get(item.name)
    return found and _with_docstring(item, found["paraphrased"], examples=False, answer="    ...\n", name=found["name"])


def answer_only(item: Item) -> str:
    """The answer; code as a function of another name without a docstring."""
    if not item.code or not item.entry_point:
        return item.answer
    head = item.prompt[: item.prompt.index(f"def {item.entry_point}")]
    signature = item.prompt[len(head) :].partition('"""')[0].partition("'''")[0].rstrip()
    return head + signature.replace(f"def {item.entry_point}", "def candidate") + "\n" + item.answer


STRENGTHS: Final[dict[str, Callable[[Item], str | None]]] = {
    "verbatim": verbatim,
    "reformatted": reformatted,
    "renamed": renamed,
    "renamed, no docstring": renamed_bare,
    "reordered": reordered,
    "reordered, renamed, no docstring": reordered_bare,
    "translated docstring": translated,
    "paraphrased prompt": paraphrased,
    "answer only": answer_only,
}
