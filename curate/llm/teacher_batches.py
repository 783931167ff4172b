"""The teacher's ``/v1/files`` and ``/v1/batches``, as OpenAI has them: validation, results without order, expiry."""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from curate.fingerprint import fingerprint

__all__ = ["BatchServer", "Batching"]

_URLS: Final = ("/v1/chat/completions", "/v1/embeddings")


@dataclass
class Batching:
    """How batches go.

    Attributes:
        looks: how often a batch is looked at before it is over.
        expire_after: of the first, second, ... batch how many requests are answered before it expires; None: all.
        invalid: says of a line's body what is wrong with it, empty for nothing: then its batch fails validation.
        full: error of a whole batch at its validation (``token_limit_exceeded``), of the first, second, ... one.
    """

    looks: int = 1
    expire_after: Sequence[int | None] = ()
    invalid: Callable[[Mapping[str, Any]], str] = lambda _: ""
    full: Sequence[str] = ()


@dataclass
class _Batch:
    told: dict[str, Any]
    lines: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    number: int = 0


class BatchServer:
    """State of files and batches.

    Args:
        answer: (body, custom_id, url) of a request to its status and body.

    Attributes:
        batching: how they go.
        created: how many batches were made; ``tokens`` of their metadata.
    """

    def __init__(self, answer: Callable[[dict[str, Any], str, str], tuple[int, Any]]) -> None:
        self.batching = Batching()
        self.created = 0
        self.tokens: list[str] = []
        self._answer = answer
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _Batch] = {}
        self._mutex = threading.Lock()

    def handle(self, method: str, path: str, kind: str, raw: bytes) -> tuple[int, bytes] | None:
        """Status and body of what is asked; None for other paths."""
        with self._mutex:
            parts = path.partition("?")[0].strip("/").split("/")[1:]
            match method, parts:
                case "POST", ["files"]:
                    return self._json(self._upload(kind, raw))
                case "POST", ["batches"]:
                    return self._json(self._create(json.loads(raw)))
                case "GET", ["batches"]:
                    data = [batch.told for batch in reversed(self._batches.values())]
                    return self._json({"object": "list", "data": data, "has_more": False})
                case "GET", ["batches", name] if name in self._batches:
                    return self._json(self._look(self._batches[name]))
                case "GET", ["files", name, "content"] if name in self._files:
                    return 200, self._files[name]
                case _, ["files" | "batches", *_]:
                    return 404, json.dumps({"error": {"message": "no such thing", "code": "not_found"}}).encode()
            return None

    def _json(self, value: Any) -> tuple[int, bytes]:
        return 200, json.dumps(value).encode()

    def _upload(self, kind: str, raw: bytes) -> dict[str, Any]:
        form = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
        fields = {str(part.get_param("name", header="content-disposition")): part for part in form.get_payload()}  # type: ignore[union-attr]
        content = fields["file"].get_payload(decode=True)  # type: ignore[union-attr]
        return self._file(content if isinstance(content, bytes) else b"", "batch")

    def _file(self, content: bytes, purpose: str) -> dict[str, Any]:
        name = f"file-{len(self._files)}"
        self._files[name] = content
        told = {"id": name, "object": "file", "bytes": len(content), "created_at": 0, "filename": "batch.jsonl"}
        return {**told, "purpose": purpose, "status": "processed"}

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": f"batch_{self.created}", "object": "batch", "endpoint": asked["endpoint"], "status": "validating",
            "input_file_id": asked["input_file_id"], "completion_window": asked["completion_window"], "created_at": 0,
            "output_file_id": None, "error_file_id": None, "errors": None, "metadata": asked.get("metadata"),
        }  # fmt: skip
        batch = self._batches[told["id"]] = _Batch(told, number=self.created)
        self.created += 1
        self.tokens.append((asked.get("metadata") or {}).get("curate", ""))
        errors = self._wrong(batch)
        if errors:
            told["status"], told["errors"] = "failed", {"object": "list", "data": errors}
        return told

    def _wrong(self, batch: _Batch) -> list[dict[str, Any]]:
        """What validation finds; fills ``lines``."""
        full = self.batching.full
        if batch.number < len(full) and full[batch.number]:
            return [{"code": full[batch.number], "message": "too much at once", "line": None, "param": None}]
        errors, seen = [], set()
        for number, line in enumerate(self._files[batch.told["input_file_id"]].splitlines(), 1):
            value = json.loads(line)
            batch.lines.append(value)
            wrong = self.batching.invalid(value["body"])
            if value["custom_id"] in seen:
                wrong = "custom_id twice"
            if value["method"] != "POST" or value["url"] != batch.told["endpoint"] or value["url"] not in _URLS:
                wrong = "another url than the batch's endpoint"
            if value["body"]["model"] != batch.lines[0]["body"]["model"]:
                wrong = "another model"
            seen.add(value["custom_id"])
            if wrong:
                errors.append({"code": "invalid_request", "message": wrong, "line": number, "param": None})
        return errors

    def _look(self, batch: _Batch) -> dict[str, Any]:
        if batch.told["status"] in ("validating", "in_progress"):
            batch.looks += 1
            batch.told["status"] = "in_progress"
            if batch.looks >= self.batching.looks:
                self._finish(batch)
        return batch.told

    def _finish(self, batch: _Batch) -> None:
        limits = self.batching.expire_after
        most = limits[batch.number] if batch.number < len(limits) else None
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        # The order of results is nobody's.
        for number, line in enumerate(sorted(batch.lines, key=lambda line: fingerprint(line["custom_id"], "order"))):
            result: dict[str, Any] = {
                "id": f"r{number}",
                "custom_id": line["custom_id"],
                "response": None,
                "error": None,
            }
            if most is not None and number >= most:
                result["error"] = {"code": "batch_expired", "message": "This request could not be executed in time."}
                bad.append(result)
                continue
            status, body = self._answer(line["body"], line["custom_id"], line["url"])
            result["response"] = {"status_code": status, "request_id": f"r{number}", "body": body}
            (good if status == 200 else bad).append(result)
        for name, results in (("output_file_id", good), ("error_file_id", bad)):
            if results:
                content = "".join(json.dumps(result) + "\n" for result in results).encode()
                batch.told[name] = self._file(content, "batch_output")["id"]
        batch.told["status"] = "completed" if most is None or most >= len(batch.lines) else "expired"
