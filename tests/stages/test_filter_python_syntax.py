"""filter.python_syntax: each reason, bounds that hold, and files made to break a parser."""

from __future__ import annotations

import gc
import sys
import threading
from types import SimpleNamespace

import pytest
from code_cases import GOOD, LESSON, SCRIPT, files
from exchange import CONTEXT

from curate.errors import VersionError
from curate.run import versions
from curate.stages.filter_code_rules import CodeRules
from curate.stages.filter_python_syntax import PythonSyntax
from curate.store.files import Store
from curate.text.python_tree import python_trees

N = 100_000
FILES = {
    None: [*GOOD, "﻿" + LESSON, LESSON.replace("\n", "\r\n"), "# -*- coding: rot13 -*-\nprint('é')\n", "x = '\\d'\n"],
    "too_large": ["x = 1  # " + "a" * 1_000_000 + "\n", "x" + "\u0301\u0316" * 300 + " = 1\n"],
    "too_deep": [
        *(sign * N for sign in ("(", "[", "{", "-", "~", "+", "not ", "lambda: ", "f(", "{1:", "x[", "(yield ", "x if ")),
        *("x = " + begin * 150 + "1" + end * 150 for begin, end in (("f(a=", ")"), ("[(", ")]"), ("{'a':[", "]}"))),
        "x = " + "(" * 201 + ")" * 201 + "\n",
        "x = " + " + ".join(["1"] * N) + "\n",
        "x = " + "**".join(["1"] * N) + "\n",
        "x" + ".a" * N + "\n",
        "x" + "()" * N + "\n",
        "x" + "[0]" * N + "\n",
        "import a" + ".a" * N + "\n",
        "from " + "." * N + " import a\n",
        "x = " + "a if b else " * 50_000 + "c\n",
        "x = " + "lambda a,: " * 50_000 + "1\n",
        "if x:\n pass\n" + "elif x:\n pass\n" * 50_000,
        "".join(" " * i + "if x:\n" for i in range(210)) + " " * 210 + "pass\n",
        "".join("\t" * i + "while x:\n" for i in range(210)) + "\t" * 210 + "pass\n",
        "x = f'{" + "(" * 300 + "1" + ")" * 300 + "}'\n",
        "x = f'{" + "-" * N + "1}'\n",
        "x = f'''{" + "[" * 400 + "\n" + "]" * 400 + "}'''\n",
        'x = f"{1:{2:{3:' + "-" * 500 + '4}}}"\n',
        "async def f():\n return " + "await " * N + "x\n",
        "match x:\n case " + "[" * N + "\n",
        "@" + "(" * N + "\ndef f(): pass\n",
        "def f(x: " + "a[" * N + "): pass\n",
    ],
    "too_many_nodes": ["x = [" + "1, " * 250_000 + "]\n", "x;" * 250_000 + "\n"],
    "not_python": [
        "def f(:\n    pass\n",
        "print 'hello'\n",
        "x = (1\n",
        "x = 1)\n",
        "x = (1]\n",
        "if x:\npass\n",
        "x = '''\n",
        "x = 'abc\n",
        "x = 1\x00\n",
        "\x00" * 1000,
        "x = " + "9" * 500_000 + "\n",
        "import " + ", ".join(["a"] * 50_000) + ",\n",
        "ä$ö\n",
        "if x:\n\tif y:\n        pass\n",
        "<html><body>no</body></html>\n",
        "return return\n",
        "x = " + "'a' " * 1000 + "1\n",
        "a b c d " * 5000,
        '{"a": null, ]',
    ],
    "only_imports": ["", "# nothing\n", '"""Doc."""\nfrom .a import b\nimport c\n\n__all__ = ["b"]\n__version__: str = "1"\npass\n...\n'],
    "no_function": [],
    "undocumented": [],
}  # fmt: skip
CASES = [(reason, text) for reason, texts in FILES.items() for text in texts]


def decide(stage: PythonSyntax, *texts: str, extension: str | None = "py") -> list[str | None]:
    return stage.decide(stage.measure(files(list(texts), extension), CONTEXT)).to_pylist()


@pytest.mark.parametrize(("reason", "text"), CASES, ids=[f"{r}-{i}" for i, (r, _) in enumerate(CASES)])
def test_each_reason(reason, text):
    """The first rule that a file breaks is its reason; whatever it is, there is an answer."""
    assert decide(PythonSyntax(), text) == [reason]


def test_the_deepest_that_is_allowed_fits_a_small_stack():
    """At the largest depth that can be set, in a thread with a stack of 1 MB."""
    depth = 300
    texts = [
        *("x = " + begin * count + "1" + end * count + "\n" for begin, end, count in (
            ("-", "", depth), ("(", ")", 99), ("[", "]", 99), ("{1:", "}", 99), ("f(", ")", 99), ("not ", "", depth),
            ("lambda: ", "", depth), ("1 if x else ", "", depth), ("2 ** ", "", depth), ("2 + ", "", depth),
            ("f(a=[", "])", 60), ("[i for i in ", "]", 60), ("(yield ", ")", 60), ("f'{", "}'", 1), ("x[1:", "]", 99),
            ("(lambda a=", ": a)", 60), ("{**", "}", 75), ("f(*", ")", 75),
        )),
        "x = y" + ".a" * depth + "\n",
        "x = y" + "()" * 140 + "\n",
        "if x:\n pass\n" + "elif x:\n pass\n" * (depth - 2),
        "".join(" " * i + "if x:\n" for i in range(99)) + " " * 99 + "pass\n",
        "".join(" " * i + "def f():\n" for i in range(99)) + " " * 99 + "pass\n",
    ]  # fmt: skip
    found: list[list[str | None]] = []
    before = threading.stack_size(1 << 20)
    try:
        stage = PythonSyntax(max_depth=depth, drop_only_imports=False)
        thread = threading.Thread(target=lambda: found.append(decide(stage, *texts)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert found[0] == [None] * len(texts)


def test_bombs_without_an_end_are_not_parsed():
    """What does not balance can be no Python: no parser is asked to find the place."""
    texts = [o * k for o in ("(", "[", "{", "f(", "{1:", "[x for x in ", "(lambda: ") for k in (10, 40, 60)]
    assert decide(PythonSyntax(), *texts) == ["not_python"] * len(texts)


def test_thresholds():
    """Rules that are off unless asked for."""
    assert decide(PythonSyntax(min_functions=1), SCRIPT, LESSON) == ["no_function", None]
    bare = "def f(x):\n    return x\n\n\ndef g(x):\n    '''Doc.'''\n"
    assert decide(PythonSyntax(min_documented=0.5), bare, SCRIPT) == [None, None]
    assert decide(PythonSyntax(min_documented=0.6), bare, SCRIPT) == ["undocumented", None]
    assert decide(PythonSyntax(drop_only_imports=False), "import os\n") == [None]
    assert decide(PythonSyntax(max_bytes=10), "x = 1\n", "x = 1  # one\n") == [None, "too_large"]
    assert decide(PythonSyntax(max_depth=3), "x = -1\n", "x = ((1))\n") == [None, "too_deep"]
    assert decide(PythonSyntax(max_nodes=3), "x = f(1)\n", "x = f(g(1))\n") == ["too_many_nodes"] * 2


def test_every_reason_is_documented_and_has_an_example():
    """In the order in which they are tried."""
    stage = PythonSyntax()
    assert list(stage.reasons) == [r for r in FILES if r]
    assert [r for r, _ in stage.rules(stage.measure(files([]), CONTEXT))] == list(stage.reasons)


def test_other_languages_stay_unseen():
    """Files that say they are something else have no signals; those that say nothing are Python unless told otherwise."""
    stage = PythonSyntax()
    signals = stage.measure(files(["int x;"], "c"), CONTEXT)
    assert all(values.to_pylist() == [None] for values in signals.values())
    assert stage.decide(signals).to_pylist() == [None]
    assert decide(stage, "int x;", extension=None) == ["not_python"]
    assert decide(PythonSyntax(default_extension=""), "int x;", extension=None) == [None]


def test_what_is_counted():
    """A file that can be counted by hand."""
    text = '''"""Module."""
import os, sys
from a import b

class A:
    """Class."""
    x = 1

    def f(self):
        "Doc."
        def inner(): pass
        for i in x:
            if i: break
        else:
            return 1
        try:
            pass
        except E:
            raise
        finally:
            with a as b: ...

async def g():
    match x:
        case 1:
            y = lambda: 1
'''
    signals = PythonSyntax().measure(files([text]), CONTEXT)
    found = {name: values[0].as_py() for name, values in signals.items()}
    assert found["parses"] is True
    assert (found["functions"], found["classes"], found["documented"], found["imports"]) == (3, 1, 1, 2)
    assert found["statements"] == 22
    assert found["logic"] == 14
    assert found["documented_share"] == pytest.approx(1 / 3)


def test_out_of_bounds_is_not_asked():
    """``parses`` is null where nobody tried, false where it did not, and counts are null in both."""
    signals = PythonSyntax().measure(files(["(" * N, "x = = 1\n", "x = 1\n"]), CONTEXT)
    assert signals["parses"].to_pylist() == [None, False, True]
    assert signals["statements"].to_pylist() == [None, None, 1]


def test_text_that_is_no_utf8_does_not_parse():
    """Nor does it raise."""
    assert list(python_trees([b"x = '\xff'\n", b"x = '\xed\xa0\x80'\n", b"x = 1\n"])) == [
        None,
        None,
        (1, 0, 0, 0, 0, 1),
    ]


def test_warnings_and_the_collector_are_left_as_they_were(recwarn):
    """Files with odd escapes warn nobody; garbage collection goes on."""
    assert gc.isenabled()
    decide(PythonSyntax(), "x = '\\d'\nassert (1, 'always')\n", "x = = 1")
    assert gc.isenabled()
    assert not recwarn.list
    gc.disable()
    try:
        decide(PythonSyntax(), "x = 1\n")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_another_python_does_not_go_on(tmp_path, monkeypatch):
    """The minor version is recorded for this stage alone; under another one the run stops and says so."""
    store = Store(tmp_path)
    syntax = SimpleNamespace(id="syntax", stage=PythonSyntax())
    rules = SimpleNamespace(id="rules", stage=CodeRules())
    for step in (syntax, rules):
        versions.check_versions(store, f"{step.id}-1", step)
        versions.check_versions(store, f"{step.id}-1", step)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    before = syntax.stage.measure_fingerprint(), rules.stage.measure_fingerprint()
    monkeypatch.setattr(sys, "version_info", SimpleNamespace(major=3, minor=99))
    versions.check_versions(store, "rules-1", rules)
    with pytest.raises(VersionError, match=rf"python {here} -> 3\.99"):
        versions.check_versions(store, "syntax-1", syntax)
    after = syntax.stage.measure_fingerprint(), rules.stage.measure_fingerprint()
    monkeypatch.undo()
    assert before[0] != after[0], "what another version measured is not used again"
    assert before[1] == after[1]
