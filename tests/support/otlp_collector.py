"""A collector of OpenTelemetry that keeps the spans it is sent over HTTP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Collector", "SentSpan", "collecting"]


@dataclass(frozen=True)
class SentSpan:
    name: str
    id: bytes
    parent: bytes
    trace: bytes
    kind: int
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any]


@dataclass
class Collector:
    """`bodies` are the requests as they came. `status` is what each is answered with."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    @property
    def spans(self) -> list[SentSpan]:
        """The spans, in the order of their begin."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for body in self.bodies:
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services.add(_attributes(of_resource.resource.attributes)["service.name"])
                for scope in of_resource.scope_spans:
                    found += [_read(span) for span in scope.spans]
        return sorted(found, key=lambda span: span.start)


def _read(span: Any) -> SentSpan:
    return SentSpan(
        span.name,
        span.span_id,
        span.parent_span_id,
        span.trace_id,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == 2,
        _attributes(span.attributes),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    found = getattr(value, value.WhichOneof("value"))
    return [_value(one) for one in found.values] if hasattr(found, "values") else found


@contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    made = Collector(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            made.bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
