"""A real webhook on loopback that keeps what it was sent and answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["SECRET", "Hook", "Request", "hook", "write_receivers"]

SECRET = b"a secret of the tests, long enough"


@dataclass(frozen=True)
class Request:
    """One request, and how it was answered."""

    path: str
    headers: Message
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        """The event in it."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Hook:
    """What a webhook was sent, in order."""

    url: str
    requests: list[Request] = field(default_factory=list)

    def taken(self, path: str = "/") -> list[Request]:
        """Return the requests to a path that were answered with 2xx."""
        return [each for each in list(self.requests) if each.path == path and 200 <= each.status < 300]


@contextmanager
def hook(status: Callable[[Request], int] = lambda request: 204) -> Iterator[Hook]:
    """Serve a webhook; `status` says how to answer a request (whose own status is 0)."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                answer = status(Request(self.path, self.headers, body, 0))
                made.requests.append(Request(self.path, self.headers, body, answer))
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", made.url + "elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Hook(f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_receivers(folder: Path, text: str) -> Path:
    """Write a receivers' file, and the secret that it names as `secret`."""
    (folder / "secret").write_bytes(SECRET + b"\n")
    file = folder / "receivers.toml"
    file.write_text(text, encoding="utf-8")
    return file
