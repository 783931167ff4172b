"""read.packages: pinned files of archives, checked byte by byte; archives that are wrong or hostile."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
import zstandard
from reading_cases import everything, texts

from curate.errors import EndpointError, InputError
from curate.stages import package_archives
from curate.stages.package_archives import Package, files_of
from curate.stages.package_text import NoText, text_of
from curate.stages.read_packages import ReadPackages

LESSON = "A variable is a name for a value.\n\nFor example, x = 1.\n"
PAGE = (
    "<html><body><nav>Home</nav><main><h1>Loops</h1><p>A loop repeats a block of statements.</p></main></body></html>"
)
NOTEBOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "markdown", "source": ["# Sums\n", "Add."]},
            {"cell_type": "code", "source": "1 + 1", "outputs": [2]},
        ]
    }
)
FILES = {
    "pypi:demo==1.0": {"demo/a.md": LESSON, "demo/page.html": PAGE},
    "npm:@x/demo==2.0.0": {"package/n.ipynb": NOTEBOOK},
    "deb:demo==1:3-1": {"usr/share/doc/demo/b.txt.gz": LESSON + "é\n" * 3},
}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in files.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(data)
            archive.addfile(facts, io.BytesIO(data))
    return out.getvalue()


def debian(files: dict[str, bytes], mode: str = "w:xz") -> bytes:
    def member(name: str, data: bytes) -> bytes:
        return f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)

    data = tarred({f"./{name}": value for name, value in files.items()}, mode)
    return (
        b"!<arch>\n"
        + member("debian-binary", b"2.0\n")
        + member("control.tar.xz", b"abc")
        + member("data.tar.xz", data)
    )


MADE = {
    "pypi": (zipped, "demo-1.0-py3-none-any.whl"),
    "npm": (tarred, "x-demo-2.0.0.tgz"),
    "deb": (debian, "demo_3-1_all.deb"),
}


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with labels.jsonl and packages.json; the archives are in the cache, and nothing may be downloaded."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("CURATE_PACKAGES", str(cache))
    monkeypatch.setenv("CURATE_OFFLINE", "1")
    packages, rows = {}, []
    for key, files in FILES.items():
        pack, file = MADE[key.partition(":")[0]]
        raw = {n: gzip.compress(t.encode(), mtime=0) if n.endswith(".gz") else t.encode() for n, t in files.items()}
        data = pack(raw)
        digest = hashlib.sha256(data).hexdigest()
        (cache / f"{digest}-{file}").write_bytes(data)
        packages[key] = {"sha256": digest, "file": file, "licence": "MIT"}
        rows += [
            {"origin": f"{key}#{n}", "sha256": hashlib.sha256(r).hexdigest(), "source": key[:4], "label": 1}
            for n, r in raw.items()
        ]
    (tmp_path / "packages.json").write_text(json.dumps(packages))
    write(tmp_path, rows)
    return tmp_path


def write(folder: Path, rows: list[dict]) -> None:
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_in(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]


def read(folder: Path, **settings: object):
    return everything(ReadPackages(paths=["./labels.jsonl"], packages="./packages.json", **settings), folder)


def test_files_of_three_registries(listed: Path) -> None:
    """Wheel, npm tarball, Debian package; markdown as it is, a page without markup, a notebook without outputs."""
    rows, asides = read(listed)
    assert asides == []
    found = {row["origin"]: row for row in rows}
    assert set(found) == {row["origin"] for row in rows_in(listed)}
    assert found["pypi:demo==1.0#demo/a.md"]["text"] == LESSON
    page = found["pypi:demo==1.0#demo/page.html"]["text"]
    assert "A loop repeats" in page and "<" not in page
    assert found["npm:@x/demo==2.0.0#package/n.ipynb"]["text"] == "# Sums\nAdd.\n\n```\n1 + 1\n```"
    assert found["deb:demo==1:3-1#usr/share/doc/demo/b.txt.gz"]["text"].endswith("é\né\né\n")
    one = found["pypi:demo==1.0#demo/a.md"]
    assert one["source"] == "pypi" and json.loads(one["meta"])["licence"] == "MIT"


def test_pieces_are_ranges_of_bytes_and_the_order_of_lines_bears_on_nothing(listed: Path) -> None:
    """Two pieces of a file are two documents; the list backwards, in zstd, gives the same rows."""
    first = next(r for r in rows_in(listed) if r["origin"].endswith("a.md"))
    rows = [{**first, "origin": f"{first['origin']}@{a}-{b}"} for a, b in ((0, 33), (35, 55))]
    write(listed, rows)
    found, _ = read(listed)
    assert texts(found) == [LESSON[:33], LESSON[35:55]]
    assert found[0]["origin"].endswith("#demo/a.md@0-33")
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in reversed(rows))
    (listed / "labels.jsonl.zst").write_bytes(zstandard.compress(lines[:50]) + zstandard.compress(lines[50:]))
    again, _ = everything(ReadPackages(paths=["./labels.jsonl.zst"]), listed)
    assert again == found


def test_sources_for_tests_are_not_read(listed: Path) -> None:
    """Nothing of them is a document, whatever the list says."""
    rows, _ = read(listed, test_sources=["py*", "deb:"])
    assert {row["source"] for row in rows} == {"npm:"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": "0" * 64}, "the list says 000000000000"),
        ({"content_hash": "0" * 32}, "its text is not the one that was listed"),
        ({"origin": "pypi:demo==1.0#demo/gone.md"}, "has no file 'demo/gone.md'"),
        ({"origin": "pypi:demo==1.0#demo/a.md@0-999"}, "its range is not in the text"),
        ({"origin": "pypi:demo==1.1#demo/a.md"}, "'pypi:demo==1.1' is not among the packages"),
        ({"origin": "pypi:demo==1.0"}, "no entry of a list"),
        ({"sha256": "abc"}, "no entry of a list"),
        ({"source": None}, "no entry of a list"),
    ],
)
def test_every_difference_stops(listed: Path, change: dict, said: str) -> None:
    """One line: what differs, where."""
    rows = rows_in(listed)
    rows[0] |= change
    write(listed, rows)
    with pytest.raises(InputError) as error:
        read(listed)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_package_that_can_not_be_had(listed: Path) -> None:
    """Stops the run; its files are set aside, and the rest is read, only where that was asked for."""
    for path in (listed / "cache").glob("*.tgz"):
        path.unlink()
    with pytest.raises(EndpointError, match="CURATE_OFFLINE"):
        read(listed)
    rows, asides = read(listed, missing="leave_out")
    assert len(rows) == 3 and [a.reason for a in asides] == ["unavailable"]


def test_damaged_archives(listed: Path) -> None:
    """An archive in the cache whose bytes are not its own is not used; packages.json that is none is named."""
    for path in (listed / "cache").glob("*.whl"):
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(EndpointError, match="not in the cache"):
        read(listed)
    for text in ("[]", "{", '{"pypi:demo==1.0": 3}', '{"demo": {"sha256": "x"}}'):
        (listed / "packages.json").write_text(text)
        with pytest.raises(InputError, match=r"packages\.json"):
            read(listed)


@pytest.mark.parametrize("cut", [0, 1, 30, 100, 150])
@pytest.mark.parametrize("kind", ["pypi", "npm", "deb"])
def test_archives_that_are_cut_off(tmp_path: Path, kind: str, cut: int) -> None:
    """One error of ours, whatever the kind and wherever the cut."""
    pack, file = MADE[kind]
    path = tmp_path / file
    data = pack({"a.md": bytes(range(256)) * 8})
    path.write_bytes(data[: len(data) * cut // 200])
    with pytest.raises(InputError):
        list(files_of(path, lambda _: True))


def test_hostile_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links and devices are no files, bombs end at a limit, paths that leave the folder write nothing."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("device", tarfile.CHRTYPE), ("fifo", tarfile.FIFOTYPE)):
            facts = tarfile.TarInfo(name)
            facts.type, facts.linkname = kind, "/etc/passwd"
            archive.addfile(facts)
        facts = tarfile.TarInfo("../../escape.md")
        facts.size = 2
        archive.addfile(facts, io.BytesIO(b"hi"))
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "h.tgz"
    path.write_bytes(out.getvalue())
    assert list(files_of(path, lambda _: True)) == [("../../escape.md", b"hi")]
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "h.tgz"]
    monkeypatch.setattr(package_archives, "MAX_FILE_BYTES", 1000)
    for name, data in (("z.whl", zipped({"a.md": b"0" * 2000})), ("t.tgz", tarred({"a.md": b"0" * 2000}))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="more than"):
            list(files_of(tmp_path / name, lambda _: True))
    monkeypatch.setattr(package_archives, "MAX_ARCHIVE_BYTES", 20_000)
    path.write_bytes(tarred({"unwanted": b"0" * 10_000_000, "a.md": b"1"}))
    with pytest.raises(InputError, match="unpacks to more"):
        list(files_of(path, lambda name: name == "a.md"))


@pytest.mark.parametrize(("kind", "file"), [("whl", "a.whl"), ("tar", "a.tar")])
def test_damaged_headers_are_one_line(tmp_path: Path, kind: str, file: str) -> None:
    """Names that are no UTF-8 and numbers that are none: what zipfile and tarfile raise for them are ValueErrors."""
    if kind == "whl":
        data = zipped({"ü.md": b"text" * 20}).replace("ü".encode(), b"\xc3(")
    else:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            facts = tarfile.TarInfo("a.md")
            facts.size, facts.pax_headers = 2, {"GNU.sparse.map": "0,x", "GNU.sparse.size": "2"}
            archive.addfile(facts, io.BytesIO(b"hi"))
        data = out.getvalue()
    (tmp_path / file).write_bytes(data)
    with pytest.raises(InputError, match=r"can't be read|no whole archive"):
        list(files_of(tmp_path / file, lambda _: True))


def test_names_of_packages_are_no_paths() -> None:
    """What is handed to a registry's client names a package there, never a folder or a repository."""
    facts = {"sha256": "0" * 64, "file": "a.tgz", "licence": "MIT"}
    for key in ("npm:@x/demo==1.0", "npm:demo==1.0-rc.1", "deb:libstdc++6==4:1.2~rc1+b1", "pypi:zope.interface==1.0"):
        assert Package.of(key, facts, "here").key == key
    for key in ("npm:owner/repository==1.0", "npm:a/../../b==1.0", "npm:@x/y/z==1.0", "deb:--help==1", "npm:../x==1"):
        with pytest.raises(InputError, match="no pinned package"):
            Package.of(key, facts, "here")


def test_lists_of_debian_that_could_not_be_had_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that was away once, or lists that are old by now, are no reason to fail for ever."""
    fake = tmp_path / "bin" / "apt-get"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\ncase "$*" in *update*) exit $(cat {tmp_path}/code);; esac\n'
        f"[ -e {tmp_path}/gone ] && exit 1\nprintf hi > demo_1_all.deb\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    monkeypatch.delenv("CURATE_OFFLINE", raising=False)
    monkeypatch.setenv("CURATE_PACKAGES", str(tmp_path / "cache"))
    package = Package("deb:demo==1", hashlib.sha256(b"hi").hexdigest(), "demo_1_all.deb", "MIT")

    def updates() -> int:
        return sum("update" in line for line in (tmp_path / "calls").read_text().splitlines())

    (tmp_path / "gone").touch()
    for code, wanted in (("100", 1), ("100", 2), ("0", 3), ("0", 4)):
        (tmp_path / "code").write_text(code)
        with pytest.raises(EndpointError):
            package_archives.archive_of(package)
        assert updates() == wanted
    (tmp_path / "gone").unlink()
    assert package_archives.archive_of(package).read_bytes() == b"hi"


@pytest.mark.parametrize("key", ["deb:demo==1", "npm:demo==1"])
def test_registries_clients_get_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """What the environment holds beside what they need stays here."""
    for name in ("apt-get", "npm"):
        fake = tmp_path / "bin" / name
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f"#!/bin/sh\nenv >> {tmp_path}/seen\nprintf hi > demo_1.file\n")
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("CURATE_OFFLINE", raising=False)
    monkeypatch.setenv("CURATE_PACKAGES", str(tmp_path / "cache"))
    package_archives.archive_of(Package(key, hashlib.sha256(b"hi").hexdigest(), "demo_1.file", "MIT"))
    seen = (tmp_path / "seen").read_text()
    assert "secret" not in seen and "https_proxy" in seen


def test_a_range_with_too_many_digits_is_part_of_the_path(listed: Path) -> None:
    """Not a number that Python refuses to read."""
    line = {"origin": f"pypi:demo==1.0#a.md@{'9' * 5000}-1", "sha256": "0" * 64, "source": "x"}
    (listed / "labels.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match="no file"):
        read(listed)


def test_files_that_are_not_what_their_names_say() -> None:
    """No text, one short reason."""
    for path, raw in (("a.ipynb", b"{}"), ("a.ipynb", b"[" * 100_000), ("a.gz", b"no"), ("a.md", b"\0")):
        with pytest.raises(NoText):
            text_of(path, raw)
    with pytest.raises(NoText, match="cut off"):
        text_of("a.txt.gz", gzip.compress(b"hello" * 100)[:-9])
    assert text_of("a.txt", b"caf\xe9\r\n") == "café\n"


def test_tagged_words_lose_their_tags_and_help_pages_their_markup():
    line = b"``/`` The/at 1\\/2/cd of/in it/ppo ''/'' ,/, he/pps said/vbd (/( twice/rb )/) ./.\n\n"
    assert text_of("corpus/ca01", b"\t" + line * 12).startswith('"The 1\\/2 of it", he said (twice).\n\n')
    assert text_of("corpus/ca01.txt", line * 12) == (line * 12).decode(), "a suffix says what it is"
    assert text_of("corpus/few", line) == line.decode(), "too few words to tell"
    prose = line * 12 + b"plain words " * 20
    assert text_of("corpus/README", b"plain " + prose) == "plain " + prose.decode(), "every word has a tag or none has"
    page = "<page><info><credit/></info><title>Zoom</title><p>Press <key>+</key>.</p></page>"
    assert "Press +." in text_of("help/C/zoom.page", page.encode())
    assert "<" not in text_of("help/C/zoom.page", page.encode())
    sky = "<h1>Maya</h1>\n<p align='justify'>They named the <em>stars</em>.</p>"
    assert text_of("maya/description.en.utf8", sky.encode()) == "Maya\n\nThey named the stars."


def test_an_sdist_comes_from_the_index_that_pip_is_set_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its address in the list of files, checked; nothing of it is run. A file that is another one is refused."""
    data = tarred({"demo-1.0/setup.py": b"raise SystemExit('run!')", "demo-1.0/a.md": LESSON.encode()})
    digest = hashlib.sha256(data).hexdigest()

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listing = json.dumps(
                {"files": [{"filename": "demo-1.0.tar.gz", "url": "../../files/demo.tar.gz"}]}
            ).encode()
            body = data if self.path == "/files/demo.tar.gz" else listing if self.path == "/simple/demo/" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("CURATE_PACKAGES", str(tmp_path))
        monkeypatch.delenv("CURATE_OFFLINE", raising=False)
        package = Package("pypi:demo==1.0", digest, "demo-1.0.tar.gz", "MIT")
        archive = package_archives.archive_of(package)
        assert dict(files_of(archive, lambda p: p.endswith(".md"))) == {"demo-1.0/a.md": LESSON.encode()}
        for file, sha256, said in (
            ("demo-1.0.tar.gz", "1" * 64, "another one"),
            ("demo-2.0.tar.gz", digest, "has no demo-2.0"),
        ):
            with pytest.raises(EndpointError, match=said):
                package_archives.archive_of(Package("pypi:demo==1.0", sha256, file, "MIT"))
        with pytest.raises(EndpointError, match="can't be downloaded"):
            package_archives.archive_of(Package("pypi:gone==1.0", digest[::-1], "gone-1.0.tar.gz", "MIT"))
    finally:
        server.shutdown()
    assert archive == package_archives.archive_of(package), "the cache needs no index"
