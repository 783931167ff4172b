"""Functions in normal form and their match rate: wherever they stand, however they are laid out, beside slow twins."""

import ast
import io
import itertools
import random
import re
import tokenize
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import syntax_twins as twins
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.benchmarks.screen import SHORTEST
from curate.text.arrow import buffers
from curate.text.syntax import (
    FEWEST,
    functions,
    joined_trees,
    main_functions,
    name_hash,
    tree_index,
    tree_matches,
    trees,
)
from curate.text.syntax_statement import MOST_TOKENS
from tests.contamination.items import humaneval
from tests.contamination.strengths import STRENGTHS, _renamed

KNOWN = '''
def has_close_elements(numbers: List[float], threshold: float) -> bool:
    """ Check if in given list of numbers, are any two closer to each other than the threshold. """
    for idx, elem in enumerate(numbers):
        for idx2, elem2 in enumerate(numbers):
            if idx != idx2:
                distance = abs(elem - elem2)
                if distance < threshold:
                    return True

    return False
'''
ITEMS = humaneval()


def found(*texts):
    kind = pa.large_binary() if isinstance(texts[0], bytes) else pa.large_string()
    return functions(*buffers(pa.array(texts, kind)))


def index(*texts):
    one = found(*texts)
    main = main_functions(one, [None] * len(texts))
    return tree_index(trees(one, main[main >= 0], np.flatnonzero(main >= 0)))


def tau(text, known, least=0.3):
    """The best match rate of a text's functions with one body."""
    rates = tree_matches(found(text), known, least).tau
    return float(rates.max()) if len(rates) else 0.0


# -- where ----------------------------------------------------------------------------------------------------


def test_a_function_is_found_wherever_it_stands():
    """In a class, a fence, a doctest, a docstring, a quotation, a diff, in another function, without its head."""
    lines = KNOWN.strip().splitlines()
    body = lines[2:]
    around = {
        "class": "class A:\n    x = 1\n\n" + "\n".join("    " + line for line in lines),
        "fence": "Some prose, don't worry (much:\n\n```python\n" + "\n".join(lines) + "\n```\nAnd more.",
        "doctest": "Text.\n\n    >>> " + "\n    ... ".join(lines) + "\n    ...\n    >>> has_close_elements([1], 2)\n",
        "docstring": "def other():\n    '''Like this:\n\n    " + "\n    ".join(lines) + "\n    '''\n    return 1\n",
        "quoted": "> " + "\n> ".join(lines) + "\nI see.\n",
        "diff": "+" + "\n+".join(lines) + "\n-gone\n",
        "inner": "def outer(a):\n    " + "\n    ".join(lines) + "\n    return has_close_elements\n",
        "headless": "The answer:\n\n" + "\n".join(body) + "\n\nThat is it.\n",
        "dedented": "\n".join(line[4:] for line in body),
        "old Python": "def first():\n    print 'no', 'Python', '''of\ntoday'''\n" + "\n".join(lines),
        "broken docstring": '"""A module.\n\n' + KNOWN + '\nThat was it.\n"""\nx = 1\n',
        "open bracket": "x = f(1,\n" + KNOWN,
        "before prose": KNOWN + "\n\n  * an item, indented\n    Changes:\n\n",
        "before code": KNOWN + "    more = other(code)\n",
        "headless, before prose": "The answer:\n\n" + "\n".join(body) + "\n    Changes:\n",
    }
    known = index(KNOWN)
    for where, text in around.items():
        assert tau(text, known) == 1.0, where
        assert tau(text.replace("\n", "\r\n"), known) == 1.0, where


def test_a_function_knows_its_place():
    """Byte ranges go from the line of the def to the last of the body; one inside another is part of it."""
    text = "é = 1\n\nclass A:\n    def one(self):\n        def two():\n            return 1\n        return two  # so\n\nx = 1\n"
    one = found("", text)
    got = {
        text.encode()[one.starts[f] : one.stops[f]].decode(): int(one.names[f])
        for f in range(*one.rows[1:].tolist())
        if one.names[f]
    }
    inner = "        def two():\n            return 1"
    assert got == {
        inner: name_hash("two"),
        f"    def one(self):\n{inner}\n        return two": name_hash("one"),
    }


def test_names_of_functions_are_blind_to_case_and_underscores():
    assert name_hash("is_prime") == name_hash("isPrime") != name_hash("is_primes")
    assert found("async  def Is_Prime (n): return 1\n").names[0] == name_hash("isprime")


def test_signatures_are_the_names_of_parameters():
    """In order, without annotations, defaults and stars; of one parameter there is none."""
    heads = (
        "(some_list, k)", "(someList: List[Tuple[int, a]] = f(b, c=1), *, k=lambda x, y: x)", "(k, some_list)", "(some_list)", "()",
        "(some_list, k, n)",
    )  # fmt: skip
    one = found(*[f"def f{head}:\n    return 1\n" for head in heads])
    first, same, turned, single, none, more = one.signatures.tolist()
    assert first == same
    assert single == none == 0
    assert len({first, turned, more, 0}) == 4


# -- layout ---------------------------------------------------------------------------------------------------


def test_the_form_is_that_of_the_interpreters_tree():
    """Every function of this project's own code and tests."""
    here = Path(__file__).parents[2]
    texts = [path.read_text(encoding="utf-8") for path in sorted((here / "curate/text").glob("*.py"))[::6]]
    texts += [path.read_text(encoding="utf-8") for path in sorted((here / "tests").glob("*/test_*.py"))[::12]]
    texts += [_ODDITIES]
    one = found(*texts)
    compared = 0
    for row, text in enumerate(texts):
        got = {
            int(one.starts[f]): one.symbols[one.bodies[f] : one.ends[f]].tolist()
            for f in range(one.rows[row], one.rows[row + 1])
            if one.names[f]
        }
        for start, symbols in twins.bodies(text).items():
            if len(symbols) <= MOST_TOKENS:
                assert got[start] == symbols, text.encode()[start : start + 300].decode()
                compared += 1
    assert compared > 100


_ODDITIES = '''
def f(a: "x, y" = (1), /, *b, c: Dict[str, int] = lambda: {1: 2}, **d) -> List[Tuple[int, ...]]:
    """Doc"""
    'more' "of it"
    import os; x: int
    y: Dict[int, str] = {}; (z,) = a,
    if a: return (b)
    elif not (c): pass
    else:
        if d: return a[1:2, ..., ::3]
    s = u'a' "" f"{a!r:>{c}} {{x}}" if a else rb'\\'' + "\\"" + 0XfF * 1_000 ** -1E-5j
    @decorated(1)
    class A(): x = lambda self, *a, k=1: (yield)
    async def g(list): return list(list.append(max(1, 2,),), key=len)
    with open(a) as b, (c): del (b), c
    for (x, y) in (a), b: print(x, file=y)
    try: raise ValueError("x") from None
    except (A, B) as e: ()
    finally: [*a, *b]; {**a, "b": c}; {i: j for i, j in sum((k for k in a))}
    while (x := a.count(1)) <= 3 != 4 and x is not None: x //= 2; x @= a
    return not a in b, \\
        c
'''


def wrapped(line, how):
    """The line with parentheses around what it returns or asks."""
    match = re.fullmatch(r"(\s*)(return|if|while|elif) ([^#'\"]+?)(:?)", line)
    if not match or (match[2] == "return") == bool(match[4]) or how.random() < 0.5:
        return line
    if any(match[3].count(a) != match[3].count(b) for a, b in ("()", "[]", "{}")):
        return line
    return f"{match[1]}{match[2]} ({match[3]}){match[4]}"


def laid_out(source, how):
    """The same tokens with other white space, line ends, comments, parentheses, commas, quotes, documentation strings."""
    unit, end = how.choice(["  ", "\t", "    ", "   "]), how.choice(["\n", "\r\n"])
    source = "\n".join(wrapped(line, how) for line in source.split("\n"))
    out, depth, level, before = [], 0, 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            level += 1 if token.type == tokenize.INDENT else -1
        elif token.type == tokenize.NEWLINE:
            out.append(how.choice(["", "  # note (", " ", ";" if before != ":" else ""]) + end)
            out.append(how.choice(["", end, "  # alone" + end]))
            if before == ":" and how.random() < 0.3:
                out.append(unit * (level + 1) + '"""Said (again."""' + end)
            before = ""
        elif token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER):
            if token.type == tokenize.STRING and text[0] in "'\"" and not set(text[1:-1]) & set("'\"\\\n"):
                text = how.choice(["", "u"]) + text[1:-1].join([how.choice(["'", '"', '"""'])] * 2)
            if not before:
                out.append(unit * level)
            else:
                out.append(" " if before[-1].isalnum() or before[-1] in "_'\"" else how.choice(["", " ", "  "]))
                if depth and how.random() < 0.15:
                    out.append(how.choice(["", "  # in it"]) + end + " " * how.randrange(9))
            if text in ")]}" and before not in ("", ",", "(", "[", "{") and how.random() < 0.2:
                out.append(",")
            depth += (text in "([{") - (text in ")]}")
            out.append(text)
            before = text
    return "".join(out)


BARE = [source for source in (ast.unparse(ast.parse(item.source)) + "\n" for item in ITEMS) if len(source) < 1500]


@settings(max_examples=40)
@given(st.sampled_from(range(len(BARE))), st.integers(0, 1 << 30))
def test_layout_and_names_never_change_the_form(which, seed):
    """Nor does what is said in documentation strings and comments; so no verdict changes."""
    source, how = BARE[which], random.Random(seed)
    one = found(source, laid_out(source, how), laid_out(_renamed(source), how))
    forms = [
        [one.symbols[one.bodies[f] : one.ends[f]].tolist() for f in range(a, b) if one.names[f]]
        for a, b in itertools.pairwise(one.rows.tolist())
    ]
    assert forms[0]
    assert forms[0] == forms[1] == forms[2]


# -- match rates ----------------------------------------------------------------------------------------------

LINES = (
    "a = 0", "b = [1]", "c.append(a)", "a += len(b)", "return a", "b = sorted(c)", "x = a, b", "c = a % 10", "d[a] = 'x'",
)  # fmt: skip
BLOCKS = ("for i in b:", "if a > 1:", "while c:")


@st.composite
def programs(draw):
    """A function of a few statements and blocks."""
    lines, depth = ["def f(a):"], 1
    for _ in range(draw(st.integers(2, 12))):
        depth = draw(st.integers(1, depth))
        block = draw(st.integers(0, 3)) == 0
        lines.append("    " * depth + draw(st.sampled_from(BLOCKS if block else LINES)))
        if block:
            depth += 1
            lines.append("    " * depth + draw(st.sampled_from(LINES)))
    return "\n".join(lines) + "\n"


def parts(one, f):
    """A function as twins.rate reads it."""
    inside = range(one.first[f], one.last[f])
    below = [(int(one.statements[s]), int(one.statement_depths[s] - one.depths[f]), int(one.sizes[s])) for s in inside]
    return one.symbols[one.bodies[f] : one.ends[f]].tolist(), below


@settings(max_examples=40)
@given(st.lists(programs(), min_size=2, max_size=9), st.sampled_from([0.3, 0.6, 0.8, 0.9, 1.0]))
def test_no_pair_is_lost_and_rates_are_right(sources, least):
    """All pairs, beside the whole table of edits and the counts of statements; far below 0.8 some have no gram in common."""
    one = found(*sources)
    each = [next(f for f in range(a, b) if one.names[f]) for a, b in itertools.pairwise(one.rows.tolist())]
    got = tree_matches(one, index(*sources), least)
    want = {}
    for f in each:
        for owner, g in enumerate(each):
            rate = twins.rate(parts(one, f), parts(one, g))
            if rate >= least - 1e-9 and one.ends[g] - one.bodies[g] >= FEWEST:
                want[f, owner] = round(rate, 9)
    pairs = zip(got.functions.tolist(), got.owners.tolist(), got.tau.round(9).tolist(), strict=True)
    given_rates = {(f, owner): rate for f, owner, rate in pairs}
    assert given_rates.items() <= want.items()
    assert least < 0.8 or given_rates == want


def test_planted_items_are_found_by_their_trees_alone():
    """Whatever is said around them; of short bodies, which prove little, only that the item itself matches."""
    one = found(*[item.source for item in ITEMS])
    main = main_functions(one, [item.entry_point for item in ITEMS])
    known = tree_index(trees(one, main[main >= 0], np.flatnonzero(main >= 0)))
    long = (main >= 0) & ((one.ends - one.bodies)[main] >= SHORTEST)
    assert ((main >= 0).sum(), long.sum()) == (164, 146)
    for strength in set(STRENGTHS) - {"paraphrased prompt"}:
        made = [(i, STRENGTHS[strength](item)) for i, item in enumerate(ITEMS) if long[i]]
        made = [(i, text) for i, text in made if text]
        got = tree_matches(found(*[text for _, text in made]), known, 0.9)
        hit = {made[row][0] for row, owner in zip(got.rows, got.owners, strict=True) if made[row][0] == owner}
        assert hit == {i for i, _ in made}, strength
    got = tree_matches(one, known, 0.9)
    assert set(range(164)) - set(got.rows[got.tau == 1].tolist()) == set(np.flatnonzero(main < 0).tolist())


def test_a_match_says_whether_the_function_has_the_name():
    known = index("def truncate_number(x):\n    return x % 1.0 + 0.0\n")
    got = tree_matches(
        found("def truncateNumber(a):\n    return a % 1.0 + 0.0\n\ndef b(a):\n    return a % 1.0 + 0.0\n"), known, 0.9
    )
    assert got.tau.tolist() == [1.0, 1.0]
    assert got.named.tolist() == [True, False]


def test_statements_in_another_order_match_and_say_so():
    one = "def f(a):\n    x = a.count(1)\n    y = [2]\n    for i in a:\n        y.append(i)\n    z = {3: y}\n    return x, y, z\n"
    two = one.replace("    x = a.count(1)\n    y = [2]\n", "    y = [2]\n    x = a.count(1)\n")
    got = tree_matches(found(two), index(one), 0.9)
    assert got.tau.tolist() == [1.0]
    assert got.moved.tolist() == [True]
    deeper = one.replace("    z = {3: y}\n", "        z = {3: y}\n")
    assert tau(deeper, index(one)) < 1


# -- an index -------------------------------------------------------------------------------------------------


def test_indexes_are_joined():
    """As if all had been one."""
    one = found(*[item.source for item in ITEMS[:30]])
    main = main_functions(one, [None] * 30)
    numbers = np.flatnonzero(main >= 0)
    whole = trees(one, main[numbers], numbers)
    few, rest = numbers[numbers < 11], numbers[numbers >= 11]
    both = joined_trees([trees(one, main[few], few), trees(one, main[rest], rest - 11)], [0, 11])
    for name in vars(whole):
        assert np.array_equal(getattr(whole, name), getattr(both, name)), name
    empty = trees(one, main[:0], numbers[:0])
    assert not len(tree_matches(one, tree_index(empty), 0.5).tau)
    assert not len(joined_trees([empty, empty], [0, 3]).owners)


@pytest.mark.parametrize("name", ["symbols_at", "statements_at", "names", "signatures", "sizes", "symbols"])
def test_an_index_that_does_not_fit_together_is_refused(name):
    """It may come from a file: kernels must not read beyond its arrays."""
    one = found(*[item.source for item in ITEMS[:3]])
    known = trees(one, np.array([1, 4, 7]), np.arange(3))
    with pytest.raises(ValueError, match="index of trees"):
        tree_index(replace(known, **{name: getattr(known, name)[::-1][:-1]}))


def test_what_means_nothing_is_refused():
    """A rate of nothing, and a function that is none (``main_functions`` found none)."""
    with pytest.raises(ValueError, match="rate"):
        tree_matches(found(KNOWN), index(KNOWN), 0)
    with pytest.raises(ValueError, match="no function"):
        trees(found(KNOWN), np.array([-1]), np.array([0]))


# -- hostile text ---------------------------------------------------------------------------------------------

NASTY = (
    b"(", b"[{(", b")", b"def f(", b"def f(\n", b"def f():\n", b"def f():\n '''", b'"""\n\n  x', b"'", b"\\\n", b"\\", b"\t",
    b"\n ('''\n", b'\n ( \'\'\'\n\n \'\'\' ( """\n', b"else:", b"x;", b":\n", b"\x0c", b"\r", b"\xff\x00", b"f'{", b"lambda:",
    b"\n\n x", b"```\n'''\n", b">>> def f(a):\n... ", b"async ", b"0x", b"a=", b"@", b"...", b",)", b"\n  '''\n", b'"\\\n"',
    b"def f[T](x: int = 1) -> y: z\n",
)  # fmt: skip


@pytest.mark.parametrize("piece", NASTY)
def test_hostile_text_takes_linear_time(piece):
    """Half a megabyte of anything, and the same ever deeper: with the square of it this would run into the time limit."""
    deeper = b"".join(b" " * i + piece + b"\n" for i in range(1000))
    one = found(piece * (500_000 // len(piece)), deeper)
    tree_matches(one, index(KNOWN), 0.8)
    assert (one.starts <= one.stops).all()
    assert (one.bodies <= one.ends).all()


MILD = (b" ", b"\n", b"\n    ", b"def f(a):\n    return 1\n", b"x = 1\n", b"class A:\n")


@settings(max_examples=40)
@example([b"x:"])
@given(st.lists(st.sampled_from((*NASTY, *MILD)), max_size=30))
def test_any_bytes_are_read_in_bounds(pieces):
    """Functions lie within the text, symbols and statements within theirs; a row is read as if it were alone."""
    text = b"".join(pieces)
    alone, between = found(text), found(b"def before():\n    ''' (", text, b"x")
    inside = slice(between.rows[1], between.rows[2])
    for name in ("starts", "stops", "names"):
        assert np.array_equal(getattr(alone, name), getattr(between, name)[inside])
    assert (alone.stops <= len(text)).all()
    assert (alone.ends <= len(alone.symbols)).all()
    assert (alone.last <= len(alone.sizes)).all()
    assert len(set((between.bodies[inside] - alone.bodies).tolist())) <= 1
