"""A receiver that speaks Langfuse's ingestion protocol: OTLP over HTTP, spans with `langfuse.*` attributes."""

import gzip
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROJECT = {"id": "p", "name": "p", "metadata": {}, "organization": {"id": "o", "name": "o"}}


class Receiver:
    def __init__(self):
        self.spans = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/api/public/otel/v1/traces":
                    outer.take(ExportTraceServiceRequest.FromString(body))
                self.answer(b"")

            def do_GET(self):
                self.answer(json.dumps({"data": [PROJECT]}).encode())

            def answer(self, body):
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, request):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {item.key: item.value.string_value for item in span.attributes}
                    self.spans.append(
                        {
                            "name": span.name,
                            "trace": span.trace_id.hex(),
                            "ended": span.end_time_unix_nano > 0,
                            **attributes,
                        }
                    )

    def generations(self):
        """Name, usage, session and user of every generation."""
        return [
            {
                "name": span["name"],
                "usage": json.loads(span.get("langfuse.observation.usage_details", "null")),
                "session": span.get("session.id") or span.get("langfuse.session.id"),
                "user": span.get("user.id") or span.get("langfuse.user.id"),
                "level": span.get("langfuse.observation.level"),
                "trace": span["trace"],
            }
            for span in self.spans
            if span.get("langfuse.observation.type") in {"generation", "embedding"} and span["ended"]
        ]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
