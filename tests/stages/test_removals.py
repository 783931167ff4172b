"""Removal lists: what an entry may look like, and which documents it names."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import schema
from curate.errors import InputError
from curate.stages.addresses import repo_of, url_of
from curate.stages.removals import Removals, read_removals


def documents(*metas: dict | str, origins: list[str] | None = None) -> pa.RecordBatch:
    """Rows with these metas; ids and content hashes are their numbers."""
    n = len(metas)
    ids = pa.array([i.to_bytes(16, "big") for i in range(n)], schema.ID_TYPE)
    values = [
        ids,
        pa.array(["text"] * n, pa.large_string()),
        pa.array([f"source-{i}" for i in range(n)]),
        pa.array(origins or [f"a.jsonl#{i}" for i in range(n)]),
        pa.array([m if isinstance(m, str) else json.dumps(m) for m in metas]),
        pa.array([(100 + i).to_bytes(16, "big") for i in range(n)], schema.ID_TYPE),
    ]
    return pa.RecordBatch.from_arrays(values, schema=schema.DOCUMENT)


def listed(folder: Path, text: str, name: str = "list.txt") -> Removals:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_removals([path])


def named(folder: Path, text: str, rows: pa.RecordBatch) -> list[str | None]:
    return listed(folder, text).named(rows).to_pylist()


SAME = "example.org/a/b"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://example.org/a/b", SAME),
        ("http://www.Example.ORG:80/a/b/#part", SAME),
        ("https://example.org:443/a/b/", SAME),
        ("HTTPS://example.org./%61/b", SAME),
        ("example.org/a/b", SAME),
        ("https://example.org:8443/a", "example.org:8443/a"),
        ("https://example.org/a?x=1&y=2#z", "example.org/a?x=1&y=2"),
        ("https://example.org/caf%C3%A9", "example.org/caf%C3%A9"),
        ("https://example.org/caf\u00e9", "example.org/caf%C3%A9"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("not a url", None),
        ("https://", None),
        ("https://example.org:port/", None),
    ],
)
def test_urls_as_they_are_compared(url: str, normal: str | None) -> None:
    """Scheme, www, case of the host, its own port, fragment, last slash and escapes don't count; the query does."""
    assert url_of(url) == normal


@pytest.mark.parametrize(
    "said",
    ["owner/name", "Owner/Name", "https://github.com/owner/name", "https://github.com/owner/name.git",
     "git@github.com:owner/name.git", "git+https://github.com/owner/name", "github.com/owner/name/blob/main/x.py"],
)  # fmt: skip
def test_repositories_as_they_are_compared(said: str) -> None:
    """A name or any address of it."""
    assert repo_of(said) == "owner/name"


def test_each_kind_names_its_documents(tmp_path: Path) -> None:
    """By id, text, origin, source, repository (also in the origin, or in a URL), site and URL."""
    rows = documents(
        {"url": "https://www.example.org/page/"},
        {"WARC-Target-URI": "http://sub.example.org/other"},
        {"repo_name": "Owner/Name"},
        {"url": "https://github.com/owner/name/blob/main/a.py"},
        {"metadata": {"url": ["https://elsewhere.example/x/y?z=1"]}},
        {"number": 5},
        {},
        "no JSON",
        origins=[*(f"a.jsonl#{i}" for i in range(5)), "repos/owner/name/x.py#0", "dump/part-7.jsonl#7", "b#7"],
    )
    name = lambda text: [i for i, e in enumerate(named(tmp_path, text, rows)) if e is not None]  # noqa: E731
    assert name("url:https://example.org/page") == [0]
    assert name("https://example.org/page#x") == [0]
    assert name("url:example.org/*") == [0]
    assert name("site:example.org") == [0, 1]
    assert name("site:sub.example.org") == [1]
    assert name("site:ple.org") == []
    assert name("repo:owner/name") == [2, 3, 5]
    assert name("repo:owner/*") == [2, 3, 5]
    assert name("repo:https://github.com/Owner/Name") == [2, 3, 5]
    assert name("repo:owner/nam") == []
    assert name("url:https://elsewhere.example/x/*") == [4]
    assert name("url:https://elsewhere.example/x/y") == []
    assert name(f"id:{6:032x}") == [6] and name(f"{6:032X}") == [6]
    assert name(f"content_hash:{107:032x}") == [7]
    assert name("origin:b#7") == [7] and name("origin:dump/*") == [6]
    assert name("source:source-5") == [5]
    assert named(tmp_path, "# all\n\nsite:example.org\nsource:source-1", rows)[:2] == [
        "site:example.org",
        "source:source-1",
    ]


def test_a_list_in_any_form_says_the_same(tmp_path: Path) -> None:
    """Lines, CSV and JSON lines; order, repetition and spelling don't count for its digest."""
    lines = listed(tmp_path, "url:http://example.org/a/\nrepo:o/n\n# why\nrepo:O/N\n")
    table = listed(tmp_path, 'reason,repo,url\r\n"asked, twice",o/n,\r\nlaw,,https://www.example.org/a\r\n', "list.csv")
    # A line separator of Unicode is no end of a line of JSON.
    asked = '{"url": "https://example.org/a", "id": null, "why": "asked\u2028twice"}\n'
    rows = listed(tmp_path, asked + '\r\n{"repository": "o/n"}\r\n', "list.jsonl")
    assert lines.digest == table.digest == rows.digest
    assert listed(tmp_path, "repo:o/n\n").digest != lines.digest
    assert [(str(e), e.place.rpartition("/")[2]) for e in table.entries()] == [
        ("repo:o/n", "list.csv:2"),
        ("url:example.org/a", "list.csv:3"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("list.txt", "site:example.org\nwhatever\n", "list.txt:2: 'whatever' is no entry; write kind:value"),
        ("list.txt", "id:12ab\n", "list.txt:1: '12ab' is no id; write 32 hex digits"),
        ("list.txt", "repo:linux\n", "list.txt:1: 'linux' is no repo; write repo:owner/name"),
        ("list.txt", "url:http://[\n", "list.txt:1: 'http://[' is no url"),
        ("list.txt", "url:\n", "list.txt:1: 'url:' names nothing"),
        ("list.csv", "name,why\nx,y\n", "no column says what to remove (there are: name, why); call one id,"),
        ("list.jsonl", '{"url": "https://a.example/"}\n[1]\n', "list.jsonl:2: is no JSON object"),
        ("list.jsonl", "{\n", "list.jsonl:1: is no JSON"),
    ],
)
def test_what_is_no_list_is_said_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    """Nothing is passed over: an entry that can't be read would leave its documents in."""
    with pytest.raises(InputError) as error:
        listed(tmp_path, text, name)
    assert said in str(error.value)


def test_a_list_that_is_gone_or_changed_stops(tmp_path: Path) -> None:
    """Neither may bring documents back in silence."""
    with pytest.raises(InputError, match="there is no such removal list"):
        read_removals([tmp_path / "none.txt"])
    removals = listed(tmp_path, "site:example.org")
    (tmp_path / "list.txt").write_text("site:other.example")
    with pytest.raises(InputError, match="was changed"):
        removals.named(documents({}))


_HOST = st.sampled_from(
    ["a.example", "www.a.example", "B.example", "x.b.example", "c.example:80", "\uff41.example", "github.com"]
)
_PATH = st.sampled_from(["", "/", "/o/n", "/O/n/", "/o/m?q=1", "/%6f/n", "//o///n", "/p"])
_META = st.one_of(
    st.fixed_dictionaries({}, optional={"url": st.builds("https://{}{}".format, _HOST, _PATH), "Repo": st.sampled_from(["o/n", "O/m", "x/y"])}),
    st.builds(lambda h, p: {"meta": {"link": f"HTTP://{h}{p}"}}, _HOST, _PATH),
)  # fmt: skip
_ENTRY = st.one_of(
    st.builds("url:http://{}{}".format, _HOST, _PATH),
    st.builds("url:{}{}*".format, _HOST, st.sampled_from(["/", "/o/"])),
    st.sampled_from(["site:a.example", "site:b.example", "repo:o/n", "repo:o/*", "repo:x/y"]),
)


@settings(max_examples=50)
@given(st.lists(_META, min_size=1, max_size=12), st.lists(_ENTRY, min_size=1, max_size=5), st.booleans())
def test_what_is_looked_at_first_hides_nothing(
    tmp_path_factory: pytest.TempPathFactory, metas: list[dict], entries: list[str], escaped: bool
) -> None:
    """Regular expressions over whole columns find candidates; looking at every row (the twin) names the same ones."""
    removals = listed(tmp_path_factory.getbasetemp(), "\n".join(entries), "property.txt")
    texts = [json.dumps(m).replace("/", "\\/") if escaped else json.dumps(m) for m in metas]
    rows = documents(*texts, origins=[f"data/{'o/n' if i % 5 == 4 else 'z'}/f.jsonl#{i}" for i in range(len(texts))])
    index = removals._index()
    twin = [
        index.address(m, o)
        for m, o in zip(rows.column("meta").to_pylist(), rows.column("origin").to_pylist(), strict=True)
    ]
    assert removals.named(rows).to_pylist() == twin


def test_no_rows(tmp_path: Path) -> None:
    """An empty batch is named by nothing."""
    assert named(tmp_path, "site:a.example\nsource:x\norigin:y/*\nrepo:o/n", documents({})[:0]) == []


def test_many_entries(tmp_path: Path) -> None:
    """More names than go into regular expressions: the same documents."""
    rows = documents(*({"url": f"https://h{i}.example/x"} for i in range(0, 6000, 3)))
    said = named(tmp_path, "\n".join(f"url:h{i}.example/x" for i in range(0, 6000, 2)), rows)
    assert [i for i, e in enumerate(said) if e] == [i for i in range(2000) if i % 2 == 0]
