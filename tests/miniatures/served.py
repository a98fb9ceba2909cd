"""A server on this machine that stands in for the homes of public data."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Home:
    """Files by path, what was asked for, from which byte on, and how the server misbehaves.

    ``cut`` holds paths whose transfer breaks off half-way, as often as they are listed;
    ``refuse`` is the status of every answer, if any.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.starts: list[tuple[str, int]] = []
        self.cut: list[str] = []
        self.refuse: int | None = None
        self.address = ""


@contextmanager
def served() -> Iterator[Home]:
    """Serve a ``Home`` on the loopback interface."""
    home = Home()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, home, body=True)

        def do_HEAD(self) -> None:
            _answer(self, home, body=False)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    home.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield home
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, home: Home, body: bool) -> None:
    path = handler.path.partition("?")[0]
    home.asked.append(path)
    content = home.files.get(path)
    if home.refuse is not None or content is None:
        status = home.refuse or 404
        handler.send_response(status)
        if status in (401, 403):
            handler.send_header("X-Error-Code", "GatedRepo")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    start = int(handler.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
    home.starts.append((path, start))
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.send_header("X-Repo-Commit", COMMIT)
    handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
    handler.end_headers()
    if body and path in home.cut:
        home.cut.remove(path)
        handler.wfile.write(content[start : start + len(content) // 2])
        handler.close_connection = True
    elif body:
        handler.wfile.write(content[start:])


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_tree(files: dict[str, bytes]) -> bytes:
    """The list of a commit's files, as the repository's host gives it."""
    blobs = [
        {
            "path": path,
            "type": "blob",
            "size": len(content),
            "sha": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        }
        for path, content in files.items()
    ]
    return json.dumps({"tree": [{"path": "data", "type": "tree"}, *blobs]}).encode()


def put_repository(home: Home, name: str, files: dict[str, bytes]) -> None:
    """Put files where the library of the Hugging Face hub looks for those of a data set."""
    siblings = [
        {
            "rfilename": path,
            "size": len(content),
            "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        }
        | _lfs(path, content)
        for path, content in files.items()
    ]
    info = {"id": name, "sha": COMMIT, "gated": "auto", "siblings": siblings, "tags": []}
    for revision in ("", f"/revision/{COMMIT}", "/revision/main"):
        home.files[f"/api/datasets/{name}{revision}"] = json.dumps(info).encode()
    tree = [
        {"type": "file", "path": path, "size": len(content), "oid": "0"} | _lfs(path, content)
        for path, content in files.items()
    ]
    home.files[f"/api/datasets/{name}/tree/{COMMIT}"] = json.dumps(tree).encode()
    for path, content in files.items():
        home.files[f"/datasets/{name}/resolve/{COMMIT}/{path}"] = content


def _lfs(path: str, content: bytes) -> dict[str, object]:
    """Large files are kept by their SHA-256."""
    if path.endswith(".json"):
        return {}
    sha256 = hashlib.sha256(content).hexdigest()
    return {"lfs": {"sha256": sha256, "oid": sha256, "size": len(content), "pointerSize": 134}}
