"""/livez, /readyz and /metrics, served from threads of their own so that they answer while the worker computes.

/livez says whether the process should be restarted, and looks at nothing outside it: a broker that is away for a
moment must not restart the fleet. /readyz says whether the worker does its work now. Both answer 200 and an empty JSON
list, or 503 and the list of the checks that fail. There is no authentication and nothing about a patient; the address
is loopback unless it is configured otherwise.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from agents.observer import Status
from monitor.errors import Failure
from monitor.version import VERSION

__all__ = ["HttpServer", "start"]

_CLIENT_SECONDS = 5.0  # for a whole request or answer: slow clients must not pile up threads
_Answer = tuple[HTTPStatus, str, bytes]

_log = structlog.get_logger(__name__)


class HttpServer:
    """A server that runs; `port` is the one it got."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.port = int(server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; requests in hand are not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def start(host: str, port: int, registry: CollectorRegistry, status: Callable[[], Status]) -> HttpServer:
    """Serve on host:port (0: any free port) from now on. Raises Failure where that address cannot be had.

    `status` is called from other threads, once a request for /livez or /readyz.
    """
    handler = type("Handler", (_Handler,), {"registry": registry, "status": staticmethod(status)})
    server_class = _ServerV6 if ":" in host else _Server
    try:
        server = HttpServer(server_class((host, port), handler))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"cannot serve /livez, /readyz and /metrics on {host}:{port}: {reason}; set http.host or http.port"
        raise Failure(msg) from error
    _log.info("http_started", host=host, port=server.port)
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def handle_error(self, request: object, client_address: object) -> None:
        """Log in one line what went wrong with a request; the base class prints a traceback."""
        _log.debug("http_request_failed", exc_info=True)


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    status: Callable[[], Status]
    timeout = _CLIENT_SECONDS
    server_version = f"sepsis-monitor/{VERSION}"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        status, kind, body = self._answer()
        self._respond(status, kind, body, with_body=True)

    def do_HEAD(self) -> None:
        """Answer a request without the body."""
        status, kind, body = self._answer()
        self._respond(status, kind, body, with_body=False)

    def _answer(self) -> _Answer:
        path = self.path.partition("?")[0]
        if path == "/livez":
            return self._checked(lambda status: status.live)
        if path == "/readyz":
            return self._checked(lambda status: status.ready)
        if path == "/metrics":
            encoder, kind = choose_encoder(self.headers.get("Accept", ""))
            return HTTPStatus.OK, kind, encoder(self.registry)
        return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"not found: try /livez, /readyz or /metrics\n"

    def _checked(self, passes: Callable[[Status], bool]) -> _Answer:
        status = self.status()
        good = passes(status)
        body = json.dumps([] if good else list(status.failing)).encode() + b"\n"
        return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, "application/json", body

    def _respond(self, status: HTTPStatus, kind: str, body: bytes, *, with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log requests at debug only: a scrape every few seconds is no news."""
        _log.debug("http_request", line=format % args)
