"""`registry serve`: the SPARQL 1.1 Protocol, the Graph Store Protocol and a page, over HTTP.

It listens on loopback unless told otherwise, and only reads unless told otherwise. What a page of
another site in a browser on this machine may send is refused: a foreign Host, a foreign Origin.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypedDict
from urllib.parse import parse_qs, urlsplit

from edgekit.errors import EdgekitError, StoreError
from edgekit.registry.limits import MAX_CHARACTERS
from edgekit.registry.page import HTML, render_page
from edgekit.registry.pool import Pool
from edgekit.registry.protocol import Request, RequestError, Task, graph_task, sparql_task
from edgekit.registry.worker import Message
from edgekit.started import Started

_LOG = logging.getLogger(__name__)
_SOCKET_S = 30.0
_FOLLOW_S = 1.0
_GRAPH_BYTES = 4 * 1024 * 1024
_CONNECTIONS = 64
SPARQL_PATHS = ("/sparql", "/query", "/update")
GRAPH_PATH = "/store"

_SERVICE = """@prefix sd: <http://www.w3.org/ns/sparql-service-description#> .
[] a sd:Service ; sd:endpoint <{endpoint}> ;
    sd:supportedLanguage sd:SPARQL11Query{update} ;
    sd:resultFormat <http://www.w3.org/ns/formats/SPARQL_Results_JSON> ,
        <http://www.w3.org/ns/formats/SPARQL_Results_XML> ,
        <http://www.w3.org/ns/formats/SPARQL_Results_CSV> ,
        <http://www.w3.org/ns/formats/SPARQL_Results_TSV> ,
        <http://www.w3.org/ns/formats/Turtle> , <http://www.w3.org/ns/formats/N-Triples> ;
    sd:feature sd:UnionDefaultGraph ;
    sd:defaultDataset [ a sd:Dataset ; sd:defaultGraph [ a sd:Graph ] ] .
"""


@dataclass(frozen=True, slots=True)
class Service:
    """How the service is set up.

    Attributes:
        root: The folder `.edgekit` of the project.
        port: 0 for a free one.
        write: Whether updates and the writing half of the Graph Store Protocol are served.
        time_s: What one request may take.
        most_bytes: Of a result.
        readers: How many queries run at a time.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int = 0
    write: bool = False
    time_s: float = 10.0
    most_bytes: int = 16 * 1024 * 1024
    readers: int = 2


class RegistryServer(Started):
    """A running service; `with` starts and ends it.

    Attributes:
        url: Where it is.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pool = Pool(service.root, readers=service.readers, time_s=service.time_s)
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._http: ThreadingHTTPServer | None = None
        self.url = ""

    def start(self) -> None:
        """Open the store and listen.

        Raises:
            StoreError: If the store cannot be opened, or the address is taken.
        """
        self._pool.start()
        try:
            self._http = _Server((self._service.host, self._service.port), self._handler())
        except OSError as exc:
            self._pool.close()
            where = f"{self._service.host}:{self._service.port}"
            raise StoreError(f"cannot listen on {where}: {exc.strerror}") from exc
        host, port = self._http.server_address[:2]
        self.url = f"http://{host!s}:{port}/"
        tasks: list[Callable[[], None]] = [self._http.serve_forever, self._follow]
        for name, task in zip(("registry-http", "registry-follow"), tasks, strict=True):
            thread = threading.Thread(target=task, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Let `wait` return."""
        self._ended.set()

    def wait(self) -> None:
        """Wait until somebody calls `end`."""
        self._ended.wait()

    def close(self) -> None:
        """End the service and its processes."""
        self._ended.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
        for thread in self._threads:
            thread.join(timeout=_SOCKET_S)
        self._pool.close()

    def _follow(self) -> None:
        while not self._ended.wait(_FOLLOW_S):
            try:
                self._pool.follow()
            except StoreError as exc:
                _LOG.error("registry does not follow the journal: %s", exc)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service, pool = self._service, self._pool

        class Handler(_Handler):
            """Requests to this service."""

            def serve(self, request: Request) -> Message:
                return _serve(request, service, pool)

            def own_hosts(self) -> frozenset[str]:
                return _own_hosts(service.host)

        return Handler


class _Limits(TypedDict):
    most: int
    may_write: bool


def _serve(request: Request, service: Service, pool: Pool) -> Message:
    """Answer a request; the head has `status`, and `type` or `error`."""
    limits: _Limits = {"most": service.most_bytes, "may_write": service.write}
    if request.path == "/":
        return render_page(request, lambda task: _do(task, pool), service.most_bytes)
    if request.path in SPARQL_PATHS:
        if request.method == "GET" and not request.parameters:
            update = ", sd:SPARQL11Update" * service.write
            text = _SERVICE.format(endpoint="sparql", update=update)
            return {"status": 200, "type": "text/turtle"}, text.encode()
        base = f"http://{request.host}{request.path}" if request.host else ""
        return _do(sparql_task(request, **limits, base=base), pool)
    if request.path == GRAPH_PATH:
        return _do(graph_task(request, **limits), pool)
    raise RequestError(404, f"no {request.path} here; there are /, /sparql and {GRAPH_PATH}")


def _do(task: Task, pool: Pool) -> Message:
    return (pool.write if task.writes else pool.read)(task.head, task.body)


def _own_hosts(host: str) -> frozenset[str]:
    """Return the names by which a browser may call the service; empty is any."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return frozenset({"127.0.0.1", "localhost", "::1", host}) if loopback else frozenset()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = _CONNECTIONS


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "edgekit"
    sys_version = ""
    timeout = _SOCKET_S

    def serve(self, request: Request) -> Message:
        raise NotImplementedError

    def own_hosts(self) -> frozenset[str]:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        try:
            head, body = self.serve(self._request())
        except RequestError as exc:
            head, body = {"status": exc.status, "error": str(exc)}, b""
        except EdgekitError as exc:
            head, body = {"status": 500, "error": str(exc)}, b""
        kind = head.get("type", "text/plain")
        if "error" in head:
            body = f"{head['error']}\n".encode()
            kind = "text/plain"
        self.send_response(head["status"])
        if head["status"] != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Vary", "Accept")
        if kind == HTML:
            self.send_header(
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
            )
        self.end_headers()
        if self.command != "HEAD" and head["status"] != HTTPStatus.NO_CONTENT:
            self.wfile.write(body)

    def _request(self) -> Request:
        """Read the request.

        Raises:
            RequestError: If it is too long, or comes from a page of another site.
        """
        parts = urlsplit(self.path)
        body = self._body()
        self._check_origin()
        if len(parts.query) > 4 * MAX_CHARACTERS:
            raise RequestError(414, f"address of {len(self.path)} characters; send it by POST")
        try:
            parameters = parse_qs(parts.query, keep_blank_values=True, max_num_fields=64)
        except ValueError as exc:
            raise RequestError(400, f"address: {exc}") from exc
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        accept = ", ".join(self.headers.get_all("Accept", []))
        host = self.headers.get("Host", "")
        return Request(self.command, parts.path, parameters, kind, accept, body, host)

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise RequestError(411, "found Transfer-Encoding, expected Content-Length")
        text = self.headers.get("Content-Length", "0")
        size = int(text) if text.isdecimal() else -1
        if not 0 <= size <= _GRAPH_BYTES:
            self.close_connection = True  # The body stays unread.
            raise RequestError(413, f"body of {text:.20} bytes, expected at most {_GRAPH_BYTES}")
        try:
            return self.rfile.read(size)
        except TimeoutError as exc:
            self.close_connection = True
            raise RequestError(408, f"body did not arrive within {_SOCKET_S:g} s") from exc

    def _check_origin(self) -> None:
        hosts = self.own_hosts()
        name = urlsplit("//" + self.headers.get("Host", "")).hostname
        if hosts and name not in hosts:
            raise RequestError(403, f"host '{name}', expected one of {', '.join(sorted(hosts))}")
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            raise RequestError(403, f"origin '{origin:.200}' is another site")

    def log_message(self, format: str, *args: object) -> None:
        """Log to the logger of this module."""
        _LOG.info("%s %s", self.address_string(), json.dumps(format % args))
