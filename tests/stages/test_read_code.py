"""read.code: which files are read, how they are decoded, and how they are grouped."""

from __future__ import annotations

import json
import os
import random
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from reading_cases import everything, texts

from curate.errors import InputError
from curate.run.inputs import Digests, read_files
from curate.stages.catalog import Catalog, Unhashed
from curate.stages.read_code import ReadCode, decode, glob_pattern
from curate.stages.source import SetAside
from curate.store.files import Store


def tree(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_a_file_becomes_a_document(tmp_path):
    """A document per file: own id, origin and meta from its path; the license is the setting's."""
    tree(tmp_path / "repo", {"pkg/b.py": "x = 1\r\n", "a.py": "y", "readme.md": "no"})
    rows, asides = everything(ReadCode(paths=["repo"], license="MIT"), tmp_path)
    assert [r["origin"] for r in rows] == [".#a.py", ".#pkg/b.py"] and not asides
    assert texts(rows) == ["y", "x = 1\r\n"]
    assert rows[1]["meta"] == '{"bytes":7,"language":"python","license":"MIT","path":"pkg/b.py"}'
    (tmp_path / "repo").rename(tmp_path / "moved")
    again, _ = everything(ReadCode(paths=["moved"], license="MIT"), tmp_path)
    assert again == rows


def test_which_files_are_read(tmp_path):
    """Extensions and exclude choose; hidden files and folders are passed over."""
    names = [".hidden.py", ".git/x.py", "node_modules/m/x.py", "a/node_modules/x.py", "a/gen/x.py", "a/x.PY", "b.rs"]
    tree(tmp_path / "r", dict.fromkeys([*names, "c.py"], "x"))
    rows, _ = everything(ReadCode(paths=["r"]), tmp_path)
    assert [r["origin"] for r in rows] == [".#a/gen/x.py", ".#a/x.PY", ".#c.py"]
    rows, _ = everything(ReadCode(paths=["r"], extensions=[".rs", "py"], exclude=["**/gen/**", "c.*"]), tmp_path)
    assert [r["origin"] for r in rows] == [
        ".#a/node_modules/x.py",
        ".#a/x.PY",
        ".#b.rs",
        ".#node_modules/m/x.py",
    ]
    assert json.loads(rows[2]["meta"])["language"] == "rust"
    rows, _ = everything(ReadCode(paths=["r/a/**/*.py"]), tmp_path)
    assert [r["origin"] for r in rows] == [".#gen/x.py"]


def test_bad_files_are_set_aside(tmp_path):
    """Each file that can't become a document has its reason; an empty file is no error here."""
    outside = tmp_path / "secret.py"
    outside.write_text("secret")
    tree(
        tmp_path / "r",
        {
            "a_empty.py": "",
            "b_latin.py": "ü".encode("latin-1"),
            "c_large.py": "x" * 200,
            "d_cookie.py": "# coding: rot13\nk",
            "e_binary.py": b"a\0b",
            "h_good.py": "x",
            "i_wrong.py": b"# coding: ascii\n\xff",
            "k_wide.py": "# coding: utf-16\nk = 1  # nor is it",
        },
    )
    os.mkfifo(tmp_path / "r/l_pipe.py")
    (tmp_path / "r/f_broken.py").symlink_to("nowhere")
    (tmp_path / "r/g_out.py").symlink_to(outside)
    (tmp_path / "r/j_in.py").symlink_to("h_good.py")
    (tmp_path / "r/loop").symlink_to(".")
    rows, asides = everything(ReadCode(paths=["r"], max_document_bytes=100), tmp_path)
    assert texts(rows) == ["x"]
    expected = {
        "a_empty": "no_text",
        "b_latin": "invalid_utf8",
        "c_large": "too_large",
        "d_cookie": "unreadable",
        "e_binary": "unreadable",
        "f_broken": "unreadable",
        "g_out": "link",
        "i_wrong": "unreadable",
        "j_in": "link",
        "k_wide": "unreadable",
        "l_pipe": "unreadable",
    }
    assert {a.origin: a.reason for a in asides} == {f".#{n}.py": r for n, r in expected.items()}
    rows, asides = everything(ReadCode(paths=["r"], follow_symlinks=True, max_document_bytes=100), tmp_path)
    assert [r["origin"] for r in rows] == [".#h_good.py", ".#j_in.py"]
    assert [a.origin for a in asides if a.reason == "link"] == [".#g_out.py"]


def test_a_run_goes_on_over_links_that_lead_nowhere_and_pipes(tmp_path):
    """The manifest names all that a split reads; what is no file is set aside by the run, and stops nothing."""
    tree(tmp_path / "r", {"a.py": "x"})
    (tmp_path / "r/b.py").symlink_to("nowhere")
    os.mkfifo(tmp_path / "r/c.py")
    stage = ReadCode(paths=["r"])
    digests = Digests(Store(tmp_path / "run"))
    splits = stage.splits(tmp_path, digests, 100)
    assert [entry["name"] for entry in read_files(splits, digests.listed)] == ["a.py"]
    found = [row for split in splits for row in stage.read(split, "s")]
    assert [a.reason for a in found if isinstance(a, SetAside)] == ["unreadable", "unreadable"]


@contextmanager
def nobody(folder):
    """Without root's rights, in a folder that nobody else can reach."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_permission_is_unreadable():
    """A file that can't be opened is set aside; the digest of its group is the engine's matter."""
    # Not in pytest's folder, which is root's alone where tests run as root.
    with tempfile.TemporaryDirectory() as name:
        tree(Path(name) / "r", {"a.py": "x", "b.py": "y"})
        stage = ReadCode(paths=["r"])
        (split,) = stage.splits(Path(name), Unhashed(), 100)
        assert not any(isinstance(found, SetAside) for found in stage.read(split, "s"))
        (Path(name) / "r/a.py").chmod(0)
        with nobody(name):
            found = list(stage.read(split, "s"))
    assert [one.reason for one in found if isinstance(one, SetAside)] == ["unreadable"]


@pytest.mark.parametrize(
    ("raw", "text", "encoding"),
    [
        (b"\xef\xbb\xbfx", "x", "utf-8"),
        ("# -*- coding: latin-1 -*-\nü".encode("latin-1"), "# -*- coding: latin-1 -*-\nü", "iso8859-1"),
        ("#!/bin/sh\n# vim: set fileencoding=cp1252 :\n€".encode("cp1252"), None, "cp1252"),
        ("x = 1\n# coding: cp1252\nü".encode(), None, "utf-8"),
        ("x".encode("utf-16"), "x", "utf-16"),
        ("# coding: utf8\nü".encode(), None, "utf-8"),
    ],
)
def test_files_are_decoded_as_they_declare(raw, text, encoding):
    """Byte order marks and PEP 263 cookies in the first two lines count; nothing else is guessed."""
    found, used = decode(raw, python=True)
    assert used == encoding and (text is None or found == text)


def test_one_more_file_changes_its_own_group_only(tmp_path):
    """Groups end where paths say so: an added file leaves the digests of the other groups as they were."""
    stage = ReadCode(paths=["r"], extensions=[".py"])
    tree(tmp_path / "r", {f"m{n // 100:03d}/f{n % 100:02d}.py": f"x = {n}" for n in range(10_000)})
    known = Catalog()
    before = {s.digest for s in stage.splits(tmp_path, known, 1 << 30)}
    tree(tmp_path / "r", {"m037/new.py": "x"})
    after = {s.digest for s in stage.splits(tmp_path, known, 1 << 30)}
    assert len(before) >= 3 and len(after - before) <= 2
    assert len(stage.splits(tmp_path, known, 1000)) > 50


def test_groups_bear_on_no_id(tmp_path):
    """Rows are the same whatever size splits aim at."""
    names = random.Random(1).sample(range(1000), 60)
    tree(tmp_path / "r", {f"d{n % 7}/f{n}.py": f"print({n})" for n in names})
    stage = ReadCode(paths=["r"])
    assert everything(stage, tmp_path, 1) == everything(stage, tmp_path, 100) == everything(stage, tmp_path)


def test_bad_paths(tmp_path):
    """Missing folders, nothing left, and two files of one name are errors with a cure."""
    tree(tmp_path, {"one/a.py": "1", "two/a.py": "2", "docs/x.md": "x"})
    for paths, says in (
        (["gone"], "no such file or folder"),
        (["docs"], "no file with .py"),
        (["one", "two"], "two inputs are called 'a.py'"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            ReadCode(paths=paths).splits(tmp_path, Catalog(), 100)
        assert caught.value.place and caught.value.cure
    with pytest.raises(InputError, match="left after `exclude`"):
        ReadCode(paths=["one"], exclude=["*.py"]).splits(tmp_path, Catalog(), 100)
    rows, _ = everything(ReadCode(paths=["one", "one/a.py"]), tmp_path)
    assert texts(rows) == ["1"]


def test_patterns_of_paths():
    """``**`` stands for any folders or none, ``*`` stays within a name, all else is literal."""
    assert glob_pattern("**/x/**").fullmatch("x/a") and glob_pattern("**/x/**").fullmatch("a/b/x/c/d")
    assert not glob_pattern("**/x/**").fullmatch("ax/b") and not glob_pattern("*.py").fullmatch("a/b.py")
    assert glob_pattern("a+(b).?y").fullmatch("a+(b).py")
