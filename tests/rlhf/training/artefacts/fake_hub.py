"""A hub on this machine, over HTTP, that answers as the real one does: models by name, gated ones by token."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SHA = "0123456789abcdef0123456789abcdef01234567"
GOOD, POOR = "hf_may-read", "hf_may-not-read"


@dataclass
class Hub:
    """`public` and `gated`: folders by their id; `read`: what was fetched of them, in order."""

    public: dict[str, Path] = field(default_factory=dict)
    gated: dict[str, Path] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    url: str = ""


class _Server(ThreadingHTTPServer):
    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    server = _Server(hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        parts = self.path.split("?")[0].strip("/").split("/")
        if token and token not in {GOOD, POOR}:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif parts[:2] == ["api", "models"]:
            self._about("/".join(parts[2:4]), parts[4:])
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), "/".join(parts[4:]), token)
        else:
            self._refuse(404, "", "Not found")

    def _about(self, name: str, rest: list[str]) -> None:
        hub = self.server.hub
        folder = {**hub.public, **hub.gated}.get(name)
        if folder is None:
            return self._refuse(401, "RepoNotFound", "Repository not found")
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in paths]
        if rest[:1] == ["tree"]:
            return self._json(
                [
                    {"type": "file", "path": one, "size": path.stat().st_size, "oid": _oid(path)}
                    for one, path in zip(names, paths, strict=True)
                ]
            )
        return self._json({"id": name, "sha": SHA, "siblings": [{"rfilename": one} for one in names]})

    def _file(self, name: str, path: str, token: str) -> None:
        hub = self.server.hub
        if name in hub.gated and token != GOOD:
            return self._refuse(403 if token else 401, "GatedRepo", "Access to model is restricted")
        file = {**hub.public, **hub.gated}[name] / path
        hub.read.append(f"{self.command} {path}")
        headers = {"ETag": f'"{_oid(file)}"', "X-Repo-Commit": SHA}
        return self._answer(200, file.read_bytes(), "application/octet-stream", headers)

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), "application/json", {})

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._answer(status, json.dumps({"error": message}).encode(), "application/json", headers)

    def _answer(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
