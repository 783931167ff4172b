"""What documents say of their kin, in the forms in which corpora say it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from exchange import batch

from curate.errors import RecipeError
from curate.stages.kinship import KINDS, kin, kin_columns, made_from, parents
from curate.text.batch import Batch


def docs(metas: list[Any], origins: list[str] | None = None) -> Batch:
    """Documents with these fields of ``meta`` (a string is taken as it is)."""
    made = batch(["x"] * len(metas))
    said = [m if isinstance(m, str) else json.dumps(m) for m in metas]
    rows = made.rows.set_column(made.rows.schema.get_field_index("meta"), "meta", pa.array(said))
    if origins is not None:
        rows = rows.set_column(rows.schema.get_field_index("origin"), "origin", pa.array(origins))
    return Batch(rows)


@pytest.mark.parametrize(
    ("kind", "meta", "value"),
    [
        ("repository", {"repo": "Django/Django"}, "django/django"),
        ("repository", {"repository_name": "django/django.git"}, "django/django"),
        ("repository", {"max_stars_repo_name": " django/django "}, "django/django"),
        ("repository", {"repo_url": "https://github.com/django/django.git"}, "django/django"),
        ("repository", {"repository": "git@github.com:django/django.git"}, "django/django"),
        ("repository", {"url": "https://github.com/django/django/blob/main/setup.py?x=1"}, "django/django"),
        ("repository", {"url": "https://raw.githubusercontent.com/django/django/main/setup.py"}, "django/django"),
        ("repository", {"repo_url": "https://example.org/a/b"}, None),
        ("repository", {"url": "https://example.org/a/b"}, None),
        ("repository", {"repo": "django"}, None),
        ("repository", {"repo": ""}, None),
        ("package", {"package": "pypi:Faker==40.54.0"}, "pypi:faker"),
        ("package", {"package": "faker"}, "faker"),
        ("book", {"isbn": "978-3"}, "978-3"),
        ("book", {"book_id": 84}, "84"),
        ("site", {"url": "https://www.Example.org:443/a?b#c"}, "example.org"),
        ("site", {"url": "//user@docs.example.org/a"}, "docs.example.org"),
        ("site", {"warc_target_uri": "http://example.org"}, "example.org"),
        ("site", {"domain": "https://www.example.org/"}, "example.org"),
        ("site", {"domain": "physics"}, None),
        ("site", {"url": "https://github.com/a/b"}, None),
        ("site", {"url": "deb:python==1#a.html"}, None),
        ("site", {"text": "https://example.org"}, None),
        ("site", "no object", None),
        ("meta.course", {"course": 7}, "7"),
        ("meta.course", {"other": 7}, None),
        ("source", {}, "test"),
    ],
)
def test_normal_forms(kind: str, meta: Any, value: str | None) -> None:
    """One value for all ways in which a thing is named; none where nothing, or something else, is named."""
    for more in ([], [{"book_id": 5, "n": [1]}, "{"]):  # alone, and beside rows that Arrow's reader can't take
        said = {v[0].as_py() for k, v in kin(docs([meta, *more]), [kind]) if k == kind}
        assert said - {None} == ({value} if value is not None else set())


def test_columns_and_folders() -> None:
    """What is no kind is a column, and asked for; a folder is the first of an origin."""
    assert kin_columns([*KINDS, "meta.course", "a.b"]) == {"a.b"}
    found = dict(kin(docs([{}] * 3, ["django/db/models.py#0", "setup.py", "x/y"]), ["folder"]))
    assert found["folder"].to_pylist() == ["django", None, "x"]
    with pytest.raises(RecipeError, match="can't be told apart"):
        kin(docs([{}]), ["text"])


def test_parents() -> None:
    """Ids that generated rows name, in a list or alone; what is no id is none."""
    a, b = "0a" * 16, "0B" * 16
    metas = [
        {"made_from": [a, b]},
        {},
        {"document": a, "made_from": "x"},
        {"made_from": [3, a[:5], "zz" * 16]},
        '"made_from"',
    ]
    rows, ids = parents(docs(metas))
    assert rows.tolist() == [0, 0, 2]
    assert [i.hex() for i in ids.to_pylist()] == [a, b.lower(), a]
    assert made_from(None) == made_from("[]") == []
