"""redact.pii: what is found of planted personal data, what is left alone, and that nothing of it stays beside the text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from personal_cases import MAKERS, planted

from curate.stages.answered import query_id, text_of
from curate.stages.base import Context
from curate.stages.redact_pii import RedactPii
from curate.text import personal
from curate.text.batch import Batch
from curate.text.personal import KINDS, find, replaced

CTX = Context("step", 0)


def clean(*texts: str, **settings_) -> list[str]:
    return edited([(text, {}) for text in texts], **settings_)[0]


def edited(rows: list[tuple[str, dict]], ctx: Context = CTX, **settings_) -> tuple[list[str], list[dict]]:
    stage, docs = RedactPii(**settings_), batch(rows)
    return stage.edit(docs, ctx).to_pylist(), [json.loads(m) for m in stage.edit_meta(docs, ctx).to_pylist()]


def batch(rows: list[tuple[str, dict]]) -> Batch:
    text = pa.array([t for t, _ in rows], pa.large_string())
    return Batch(
        pa.RecordBatch.from_pydict({"text": text, "meta": pa.array([json.dumps(m) for _, m in rows], pa.string())})
    )


def test_planted_data_is_found():
    """Of each kind at least 95 of 100 are found, whole, as that kind, and nothing else of the sentence goes."""
    cases = planted(seed=1, each=150)
    text = pa.array([sentence for _, _, sentence in cases], pa.large_string())
    made = replaced(text, find(text), lambda kind: f"<{kind}>").to_pylist()
    found, told = Counter(), ("tel. ", "call me at ")
    for (kind, what, sentence), got in zip(cases, made, strict=True):
        number = next((what.removeprefix(t) for t in told if what.startswith(t)), what)
        found[kind] += got == sentence.replace(number, f"<{kind}>")
    assert min(found[kind] for kind in MAKERS) >= 0.95 * 150, found


@pytest.mark.parametrize(
    "text",
    [
        "W = a@b.T; x@y.reshape(3) and logo@2x.png, git@github.com:owner/name.git, @decorator, user@localhost",
        "ISBN 978-3-16-148410-0 or 0-306-40615-2, DOI 10.1000/182, 2021-03-04 12:33:11.123456, 01.02.2023, 12/31/1999 23:59",
        "version 10.12.3.41, v4.15.0.1, foo==23.45.67.89, OID 1.3.101.113, 2.5.29.24, Section 25.1.5.1. Vacuuming\n1.11.4.6. Loss",
        "3.14159265358979, 1234567890123456, 0.4539148803436467, -4539148803436467, 4539 1488 0343 6468, 4111 1111 1111 1111",
        "000-12-3456, 666-12-3456, 923-12-3456, 536-00-4399, 078-05-1120, 12-536-90-4399",
        "DE89 3704 0044 0532 0130 00, DE75512108001245126198, UTF8, GB12, AT2024 was warm",
        "std::vector, 12:34:56, ::1, fe80::1, 2001:db8::8a2e, 192.168.1.1, 10.0.0.1, 127.0.0.1, 8.8.8.8, 198.51.100.7",
        "sk-learn, sk-spinner-double-bounce-child-one, AKIAIOSFODNN7EXAMPLE, eyJ, hf_hub, https://user:password@host/, xoxo",
        "0e915ff5061a77aec9acee8d537a2542 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15, 12 345 678 901, 555-0123, (212) 555-0199",
        "foo>=23.45.67.89 foo~=23.45.67.89 foo <= 23.45.67.89 Chrome/119.0.60.199 foo-23.45.67.89.tgz foo_23.45.67.89 ~23.45.67.89",
        'version=23.45.67.89, "version": "23.45.67.89", FileVersion("23.45.67.89") <version>23.45.67.89</version> v = 23.45.67.89',
        "+2023-11-14 Release\n+2024-01-15 10:30:00\n+2024-01-15-10-30-00\n+20240115\n+31-12-2023, Tel. 2024-01-15 10.30",
        "00000000  01 23 45 67 89 ab\n00000010: 01 23 45 67 89 cd ef\n00000020: 0033 4455 6677 8899 aabb, MAC 01-23-45-67-89-ab",
        "23 45 01 23 45 67 89\n3f 01 23 45 67 89\n temp +40.712776 x = +33.12345678, loss +1.2345678901, +40.71 12.50, +40.7128-074.0060/",
        "1\u202f234\u202f567\u202f890 \u20ac, 4539\u00a01488\u00a00343\u00a06468, 1990\u20132000\u20132010",
        "p://u:$DB_PASS@h p://u:${pass}@h p://u:{password}@h p://u:%s@h p://u:***@h p://u:my-password@h p://u:YOUR_PASSWORD@h p://u:%PW%@h",
        "CA +4339-07923 America/Toronto, 1500000000 seconds, 100 000 000, 1,234,567.89, 2**31 - 2147483648",
    ],
)
def test_what_is_nobodys_stays(text):
    """Versions, hashes, dates, books, measures, code, examples: left as they are."""
    assert clean(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("curl http://185.60.216.35/ https://93.184.216.34:8443/x", "curl http://I/ https://I:8443/x"),
        ("src=185.60.216.35 client = 93.184.216.34 <93.184.216.34> <td>93.184.216.34</td>", "src=I client = I <I> <td>I</td>"),
        ("10.0.0.5:443->93.184.216.34:443 from /93.184.216.34:80", "10.0.0.5:443->I:443 from /I:80"),
        ("81.2.69.142-81.2.69.150, foo-23.45.67.89-23.45.67.90", "I-I, foo-23.45.67.89-23.45.67.90"),
        ("Tel. 06 12 34 56 78. 536-90-4399, call me at 867-5309. 3 times", "Tel. P. N, call me at P. 3 times"),
        ("06.12.34.56.78, 01-23-45-67-89; Tel: 06.12.34.56.78\nTel: 01-23-45-67-89", "P, P; Tel: P\nTel: P"),
        ("mon 06 12 34 56 78 de 10 \u00e0 12 h; Cafe 01 23 45 67 89, 0049 30 1234567 ab 18 Uhr", "mon P de 10 \u00e0 12 h; Cafe P, P ab 18 Uhr"),
        ("j\u00f6rg.m\u00fcller@firma.de fran\u00e7ois@orange.fr, jo\u0308rg@web.de; info@m\u00fcller.de", "E E, E; E"),
        ("\u043f\u043e\u0447\u0442\u0430@mail.ru \u03bb@mail.gr \u8054\u7cfbmaria@gmail.com \u2019maria@gmail.com", "E E \u8054\u7cfbE \u2019E"),
        ("Call +1 415-867-5309 2 times, call +7 916 123-45-67 24 hours", "Call P 2 times, call P 24 hours"),
        ("room B2 415-867-5309, b2 06 12 34 56 78 then", "room B2 P, b2 06 12 34 56 78 then"),
        ("+1 415 867 5309 (2), Phone: +33.612345678 or +49-30-1234567", "P (2), Phone: P or P"),
        ("postgres://root:myp4ssword123@10.0.0.1/db mysql://u:$uperS3cret@h/x", "postgres://root:S@10.0.0.1/db mysql://u:S@h/x"),
        ("p://u:(hunter@h p://u:%24ecret@h p://u:yourmom99@h", "p://u:S@h p://u:S@h p://u:S@h"),
        ("+49\u00a030\u00a01234567, 415\u2011867\u20115309; 415\u2013867\u20135309", "P, P; P"),
        ("Tel\u00a0:\u00a006\u202f12\u202f34\u202f56\u202f78\n536\u201190\u20114399 4539\u00a05787\u00a06362\u00a01486", "Tel\u00a0:\u00a0P\nN C"),
        ("GB82\u00a0WEST\u00a01234\u00a05698\u00a07654\u00a032, BE71\u202f0961\u202f2345\u202f6769", "B, B"),
        ("xoxb-EXAMPLE-aaaaaaaaaaaa-sk-EXAMPLE-sk-proj-aB3dE6gH9jK2mN5pQ8sT1", "xoxb-EXAMPLE-aaaaaaaaaaaa-sk-EXAMPLE-S"),
    ],
)  # fmt: skip
def test_forms_of_it_are_found(text, expected):
    """In addresses and assignments, with any letters, dots and typeset signs in it, other numbers behind it: it goes, no more."""
    words = {"email": "E", "phone": "P", "ip": "I", "card": "C", "iban": "B", "ssn": "N", "secret": "S"}
    a = pa.array([text], pa.large_string())
    assert replaced(a, find(a), words.__getitem__).to_pylist() == [expected]


def test_reserved_goes_where_it_is_asked_for():
    """With `reserved` also examples and private addresses go."""
    assert clean("joe@example.com 10.0.0.1 (212) 555-0199 4111 1111 1111 1111", reserved=True) == [
        "<EMAIL_ADDRESS> <IP_ADDRESS> <PHONE_NUMBER> <CREDIT_CARD>"
    ]


def test_passwords_in_addresses():
    """Of an address with a password the password goes, the rest stays."""
    assert clean("postgres://admin:hunter2xx@db.host/x") == ["postgres://admin:<SECRET>@db.host/x"]


def test_kinds_and_words_are_settings():
    """Only what is wanted goes, and the word is one's own; what was replaced is found no more."""
    text = "maria@gmail.com 536-90-4399"
    assert clean(text, kinds=["ssn"], placeholder="[{kind}]") == ["maria@gmail.com [US_SSN]"]
    (once,) = clean(text)
    assert clean(once) == [once] == ["<EMAIL_ADDRESS> <US_SSN>"]


def test_an_unknown_kind_is_named():
    """What is no kind is refused, with the nearest one."""
    with pytest.raises(ValueError, match="no kind 'mail'; did you mean 'email'"):
        RedactPii(kinds=["mail"])


def test_meta_holds_nothing_that_the_text_lost():
    """Strings at any depth of meta lose theirs, counted as in_meta; whole fields go or become pseudonyms."""
    secret = "I am maria@gmail.com\n415-867-5309"
    meta = {
        "messages": [{"role": "user", "content": secret}, {"role": "assistant", "content": "Hi."}],
        "request": {"user": "u-1", "temperature": 0.5, "metadata": {"mail": "x@web.de"}},
        "ip": "81.2.69.142",
        "who": 17,
        "no": None,
    }
    rows = [(secret, meta), ("nothing", {"task": "t", "who": 17}), ("nothing", {"task": "t"})]
    texts, metas = edited(rows, drop=["request.user", "absent.field"], hash=["who", "no"])
    assert texts == ["I am <EMAIL_ADDRESS>\n<PHONE_NUMBER>", "nothing", "nothing"]
    first = metas[0]
    assert first["messages"][0]["content"] == texts[0] and first["request"]["metadata"] == {"mail": "<EMAIL_ADDRESS>"}
    assert first["ip"] == "<IP_ADDRESS>" and "user" not in first["request"] and first["no"] is None
    assert first["who"] == metas[1]["who"] and len(first["who"]) == 16 and metas[2] == {"task": "t"}
    assert edited(rows, Context("step", 1), hash=["who"])[1][0]["who"] != first["who"]
    named = RedactPii(drop=["request.user", "absent.field"], hash=["who", "no"]).fields_found(batch(rows))
    assert named == {"request.user": 1, "absent.field": 0, "who": 2, "no": 1}
    signals = RedactPii().measure(batch(rows), CTX)
    assert signals["email"].to_pylist() == [1, 0, 0] and signals["in_meta"].to_pylist() == [4, 0, 0]


def test_names_of_fields_lose_theirs():
    """What names a field may name somebody; two that become one word stay two fields."""
    meta = {"by": {"x@web.de": 1, "y@web.de": {"AKIAQWERTYUIOPASDFGH": 2}, "content": "z@web.de"}}
    assert edited([("", meta)])[1] == [
        {"by": {"<EMAIL_ADDRESS>": 1, "<EMAIL_ADDRESS> 2": {"<SECRET>": 2}, "content": "<EMAIL_ADDRESS>"}}
    ]


def test_pseudonyms_are_of_what_was_there():
    """Users known by their addresses stay as many as they were."""
    rows = [("", {"user": {"mail": f"{who}@web.de"}}) for who in ("x", "y", "x")]
    first, second, third = (meta["user"]["mail"] for meta in edited(rows, hash=["user.mail"])[1])
    assert first == third != second and len(first) == 16


def test_what_json_can_write_and_text_can_not():
    """A lone surrogate beside an address is no reason to stop, nor to leave it."""
    docs = batch([("", {"a": "\ud800 x@web.de", "query": "q", "messages": [{"role": "user", "content": "\udc00"}]})])
    assert json.loads(RedactPii().edit_meta(docs, CTX)[0].as_py())["a"] == "? <EMAIL_ADDRESS>"


def test_a_text_of_addresses_alone():
    """Very many in one text, and a secret among them that holds one: each goes, once."""
    many = " ".join(f"a{n}@web.de" for n in range(50_000))
    assert clean(f"{many} postgres://me:hunter2xx@db.host") == [
        " ".join(["<EMAIL_ADDRESS>"] * 50_000) + " postgres://me:<SECRET>@db.host"
    ]


def test_what_stands_for_a_query_tells_nothing_of_it():
    """A hash of words that went would tell them to who tries all: it is of what is left; else it stays."""
    chat = [{"role": "user", "content": "I am x@web.de. Hi?"}, {"role": "assistant", "content": "Hi."}]
    left = [{"role": "user", "content": "I am <EMAIL_ADDRESS>. Hi?"}]
    brief = {"role": "system", "content": "Be brief."}
    rows = [
        (text_of(chat), {"query": query_id(chat), "messages": chat}),
        ("I am x@web.de. Hi?", {"query": query_id(chat)}),
        ("Hi?", {"query": "as it was"}),
        (text_of(chat), {"query": "?", "messages": [brief, *chat]}),
        (text_of(chat), {"query": "?", "messages": [brief, *chat], "strategy": "brief", "made_from": ["ab"]}),
    ]
    expected = [query_id(left), query_id(left), "as it was", query_id([brief, *left]), query_id(left)]
    assert [m["query"] for m in edited(rows)[1]] == expected


def test_real_code_and_pages_lose_little():
    """In 4 MB of code and pages no number is taken for a telephone, a card, an account, a person or a key; addresses are such."""
    for name in ("code", "web"):
        path = Path(__file__).parents[2] / f"data/samples/{name}.jsonl.zst"
        with zstandard.open(path, "rb") as file:
            texts = [orjson.loads(line)["text"] for line in file.read(2_000_000).split(b"\n")[:-1]]
        found = find(pa.array(texts, pa.large_string()))
        raw = [texts[r].encode()[a:b].decode() for r, a, b in zip(found.row, found.start, found.stop, strict=True)]
        kinds = [KINDS[k] for k in found.kind]
        assert set(kinds) <= {"email", "ip"}, Counter(kinds)
        assert all("@" in what and "(" not in what for what, kind in zip(raw, kinds, strict=True) if kind == "email")


@pytest.mark.parametrize("unit", ["sk-", "sk-a1b2c3d4e5f6g7h8i9-", "eyJaaaaaaaaaa-", "glpat-", "xoxb-", "pypi-AgE-"])
def test_what_could_begin_everywhere_is_looked_at_once(unit, monkeypatch):
    """A text of nothing but beginnings of keys costs one look at all of it; a key behind them is found."""
    looks = []
    check = personal._CHECKS[personal._SECRET]
    monkeypatch.setitem(
        personal._CHECKS, personal._SECRET, lambda data, at, *more: looks.append(at) or check(data, at, *more)
    )
    key = "ghp_" + "aB3dE6gH9" * 4
    text = f"{unit * 5_000} {key} {unit * 5_000}"
    words = replaced(a := pa.array([text], pa.large_string()), find(a), str.upper).to_pylist()[0].split(" ")
    assert len(looks) == 3 and words[1] == "SECRET"
    assert words[0] == words[2] == ("SECRET" if "a1b2" in unit else unit * 5_000)


def test_many_private_keys():
    """Lines that begin one and lines that end one are told apart once, and what was taken is not looked at again."""
    begin, line, end = (
        "-----BEGIN PRIVATE KEY-----\n",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n",
        "-----END PRIVATE KEY-----\n",
    )
    text = f"{begin * 300}{line}{end}between\n{begin}{line}{line}"
    (made,) = replaced(a := pa.array([text], pa.large_string()), find(a), str.upper).to_pylist()
    assert made.split() == ["SECRET", "between", "SECRET"]


@given(st.lists(st.text(alphabet="019.-+@: ()/aAsk_é\u00a0\u202f\u2011漢\n", max_size=40), max_size=5))
@settings(max_examples=200, deadline=None)
def test_texts_bear_on_no_neighbour(texts):
    """Whatever stands before or behind a text: what is found in it is the same."""
    alone = [replaced(a, find(a), str.upper).to_pylist()[0] for t in texts for a in [pa.array([t], pa.large_string())]]
    together = pa.array(texts, pa.large_string())
    assert replaced(together, find(together), str.upper).to_pylist() == alone
