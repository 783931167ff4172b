"""A Hugging Face hub on loopback that takes uploads: what ``huggingface_hub`` asks of it to make a dataset and commit to it.

Repositories are made by ``/api/repos/create``; ``preupload`` says which files are large; these go by the LFS batch API, in one
PUT or in parts, and are known by their SHA-256 from then on; a commit is lines of JSON. As on the hub, uploads go to a
storage that is not asked for the token, and what a PUT brings is checked when it is verified or completed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

PART = 1 << 20
"""Bytes of a part; a larger file is sent in several."""


@dataclass
class Repository:
    """One dataset: its files by path, and messages of its commits."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


@dataclass
class State:
    """All that the hub has.

    Attributes:
        key: the token that may write.
        owners: names under which it may.
        objects: large files by SHA-256.
        puts: what was uploaded, by SHA-256 of the whole and number of the part.
        leaked: paths of requests to the storage that had a token.
        cut_after: PUTs that are taken before the storage refuses; None: all.
    """

    key: str
    owners: tuple[str, ...] = ("owner",)
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    puts: list[tuple[str, int]] = field(default_factory=list)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    leaked: list[str] = field(default_factory=list)
    cut_after: int | None = None


class Hub:
    """A context manager; ``url`` is what HF_ENDPOINT wants."""

    def __init__(self, key: str) -> None:
        self.state = State(key)
        handler = type("Handler", (_Handler,), {"state": self.state, "lock": threading.Lock()})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = handler.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: ClassVar[State]
    lock: ClassVar[threading.Lock]
    url: ClassVar[str]

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/api/datasets/")
        found = self.state.repositories.get(name)
        if self._allowed() and found is None:
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif found is not None:
            siblings = [{"rfilename": path} for path in sorted(found.files)]
            self._send(200, {"id": name, "sha": "1" * 40, "private": found.private, "siblings": siblings, "tags": []})

    def do_PUT(self) -> None:
        """The storage: an upload, or a part of one."""
        data = self._body()
        _, _, oid, part = self.path.split("/")
        with self.lock:
            if "Authorization" in self.headers:
                self.state.leaked.append(self.path)
            if self.state.cut_after is not None and len(self.state.puts) >= self.state.cut_after:
                self._send(400, {"error": "cut off"})
                return
            self.state.puts.append((oid, int(part)))
            self.state.parts[oid, int(part)] = data
        self._send(200, {}, {"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        if path.startswith("/storage/"):  # an upload in parts is complete
            said = json.loads(body)
            self._join(said["oid"], len(said["parts"]))
            self._send(200, {})
            return
        if not self._allowed():
            return
        if path == "/api/validate-yaml":
            self._send(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif path.endswith("/verify"):
            said = json.loads(body)
            self._join(said["oid"], 1)
            self._send(200, {})
        elif "/preupload/" in path:
            files = [self._mode(file) for file in json.loads(body)["files"]]
            self._send(200, {"files": files})
        elif "/commit/" in path:
            name = path.removeprefix("/api/datasets/").partition("/commit/")[0]
            self._commit(self.state.repositories[name], name, [json.loads(line) for line in body.splitlines()])
        else:
            self._send(404, {"error": "not found"})

    def _allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.state.key}":
            return True
        self._send(401, {"error": "Invalid username or password."})
        return False

    def _create(self, said: dict[str, Any]) -> None:
        name = f"{said.get('organization') or self.state.owners[0]}/{said['name']}"
        assert said["type"] == "dataset"
        if name.partition("/")[0] not in self.state.owners:
            self._send(403, {"error": "You don't have the rights to create a dataset under the namespace"})
        elif name in self.state.repositories:
            self._send(409, {"error": "You already created this dataset repo", "url": f"{self.url}/datasets/{name}"})
        else:
            self.state.repositories[name] = Repository(said.get("visibility") == "private" or bool(said.get("private")))
            self._send(200, {"url": f"{self.url}/datasets/{name}", "name": name})

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        large = file["size"] > 10 << 20 or file["path"].endswith((".arrow", ".parquet", ".model"))
        assert base64.b64decode(file["sample"]) or not file["size"]
        return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": None}

    def _batch(self, said: dict[str, Any]) -> None:
        assert said["operation"] == "upload" and said["hash_algo"] == "sha256"
        self._send(200, {"transfer": "basic", "objects": [self._object(o) for o in said["objects"]]})

    def _object(self, asked: dict[str, Any]) -> dict[str, Any]:
        oid, size = asked["oid"], asked["size"]
        if oid in self.state.objects:
            return {"oid": oid, "size": size}
        place = f"{self.url}/storage/{oid}"
        if size > PART:
            parts = {str(n + 1): f"{place}/{n + 1}" for n in range(-(-size // PART))}
            upload = {"href": f"{place}/complete", "header": {"chunk_size": str(PART), **parts}}
            return {"oid": oid, "size": size, "actions": {"upload": upload}}
        actions = {"upload": {"href": f"{place}/1"}, "verify": {"href": f"{self.url}/datasets/{oid}/verify"}}
        return {"oid": oid, "size": size, "actions": actions}

    def _join(self, oid: str, parts: int) -> None:
        data = b"".join(self.state.parts[oid, n + 1] for n in range(parts))
        assert hashlib.sha256(data).hexdigest() == oid
        self.state.objects[oid] = data

    def _commit(self, repository: Repository, name: str, lines: list[dict[str, Any]]) -> None:
        files = dict(repository.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.state.objects[value["oid"]]
            else:
                assert line["key"] == "deletedFile"
                del files[value["path"]]
        repository.files = files
        repository.commits.append(lines[0]["value"]["summary"])
        oid = hashlib.sha1(json.dumps(sorted(files)).encode()).hexdigest()
        url = f"{self.url}/datasets/{name}/commit/{oid}"
        self._send(200, {"success": True, "commitOid": oid, "commitUrl": url, "pullRequestUrl": None, "hookOutput": ""})

    def _send(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
