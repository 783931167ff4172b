"""A Google Cloud Storage server on loopback, in a process of its own: gcp-storage-emulator, and the precondition it lacks.

with GoogleServer() as server:
    bucket = server.new_bucket()
    curate.run(recipe, f"gs://{bucket}/run", env=server.environment())
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import HTTPServer
from typing import Any

from served import Served, serve, unused_name


class GoogleServer(Served):
    """The emulator, which keeps objects in its memory."""

    def __init__(self) -> None:
        super().__init__(__file__)

    def new_bucket(self) -> str:
        """The name of a bucket that nobody has used."""
        name = unused_name()
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        connection.request("POST", "/storage/v1/b", json.dumps({"name": name}), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        return name

    def environment(self) -> dict[str, str]:
        """By which a process finds the server. The emulator speaks no gRPC, by which gcsfs asks for a bucket's kind."""
        return {"STORAGE_EMULATOR_HOST": self.url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}


def _once(insert: Callable[..., None]) -> Callable[..., None]:
    """An upload that is refused where there is an object and the request says that there be none."""

    def guarded(request: Any, response: Any, storage: Any, *args: Any, **kwargs: Any) -> None:
        if request.query.get("ifGenerationMatch") == ["0"]:
            meta = request.data.get("meta", request.data) if isinstance(request.data, dict) else {}
            name = request.query.get("name", [meta.get("name")])[0]
            if any(found["name"] == name for found in storage.get_file_list(request.params["bucket_name"])[0]):
                response.status = HTTPStatus.PRECONDITION_FAILED
                error = {"code": 412, "message": "At least one of the pre-conditions you specified did not hold."}
                response.json({"error": {**error, "errors": [{"reason": "conditionNotMet"}]}})
                return
        insert(request, response, storage, *args, **kwargs)

    return guarded


def _serve() -> None:
    """The server process."""
    from gcp_storage_emulator import server
    from gcp_storage_emulator.handlers import objects
    from gcp_storage_emulator.storage import Storage

    guarded = _once(objects.insert)
    server.HANDLERS = tuple(
        (path, {method: guarded if act is objects.insert else act for method, act in acts.items()})
        for path, acts in server.HANDLERS
    )
    storage = Storage(use_memory_fs=True)
    # One request at a time: what a precondition says holds until the object is there.
    listening = HTTPServer(("127.0.0.1", 0), lambda *args: server.RequestHandler(storage, *args))
    serve(listening.server_port, listening.serve_forever, 0.02)


if __name__ == "__main__":
    _serve()
