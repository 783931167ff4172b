"""A Hugging Face hub on loopback that has one dataset: the calls that ``huggingface_hub`` makes to read files of one."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit


class Hub:
    """Serves ``files`` (path to bytes) as the dataset ``name`` at ``commit``; ``seen`` has every request.

    A context manager; ``url`` is what HF_ENDPOINT wants. Anything else is answered as the hub answers: 404 and
    ``X-Error-Code``.
    """

    def __init__(self, name: str, commit: str, files: dict[str, bytes]) -> None:
        handler = type("Handler", (_Handler,), {"name": name, "commit": commit, "files": files, "seen": []})
        self.seen: list[str] = handler.seen
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name: ClassVar[str]
    commit: ClassVar[str]
    files: ClassVar[dict[str, bytes]]
    seen: ClassVar[list[str]]

    def log_message(self, *args: object) -> None:
        """Nothing: tests look at ``seen``."""

    def _entries(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in sorted(self.files.items())
        ]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body or b"{}") if body[:1] in (b"", b"{") else parse_qs(body.decode())
        self.seen.append(f"POST {self.path}")
        if self.path == f"/api/datasets/{self.name}/paths-info/{self.commit}":
            folders = [p for p in asked["paths"] if any(f.startswith(f"{p}/") for f in self.files)]
            found = [{"type": "directory", "path": p, "size": 0, "oid": "0" * 40} for p in folders]
            self._json(found + [e for e in self._entries() if e["path"] in asked["paths"]])
        else:
            self._missing("RepoNotFound")

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.seen.append(f"{self.command} {path}")
        api, resolve = f"/api/datasets/{self.name}", f"/datasets/{self.name}/resolve/{self.commit}/"
        if path in (api, f"{api}/revision/{self.commit}"):
            siblings = [{"rfilename": e["path"], "size": e["size"]} for e in self._entries()]
            self._json({"id": self.name, "sha": self.commit, "siblings": siblings, "private": False, "gated": False})
        elif path.startswith(f"{api}/revision/") or (path.startswith(f"{api}/tree/") and self.commit not in path):
            self._missing("RevisionNotFound")
        elif path.startswith(f"{api}/tree/{self.commit}"):
            self._tree(path.removeprefix(f"{api}/tree/{self.commit}").strip("/"))
        elif path.startswith(resolve) and path.removeprefix(resolve) in self.files:
            self._file(self.files[path.removeprefix(resolve)])
        else:
            self._missing("EntryNotFound" if path.startswith(resolve) else "RepoNotFound")

    def _tree(self, folder: str) -> None:
        """Files of a folder and all below; unless ``recursive`` is asked, its own and the folders in it."""
        root = f"{folder}/" if folder else ""
        found = [e for e in self._entries() if e["path"].startswith(root)]
        if parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() not in ("true", "1"):
            names = sorted(
                {e["path"].removeprefix(root).partition("/")[0] for e in found if "/" in e["path"][len(root) :]}
            )
            folders = [{"type": "directory", "path": root + n, "size": 0, "oid": "0" * 40} for n in names]
            found = folders + [e for e in found if "/" not in e["path"][len(root) :]]
        if found:
            self._json(found)
        else:
            self._missing("EntryNotFound")

    def _file(self, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (
            (int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)) if asked else (0, len(data) - 1)
        )
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[first : last + 1])

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode())

    def _missing(self, code: str) -> None:
        self._send(404, b'{"error": "not found"}', {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
