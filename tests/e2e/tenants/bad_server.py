"""A server that answers as model APIs do, and as they should not."""

import gzip
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-right-key-0123456789abcdef"
BOMB = gzip.compress(b" " * (10 << 20), 1)


class BadServer(ThreadingHTTPServer):
    """The first part of the path says how to answer: `/slow/v1/chat/completions`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.came, self.stopped = [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.stopped.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass


def good(path, shape):
    if path.endswith("/embeddings"):
        return {"data": [{"index": 0, "embedding": [0.1, 0.2], "object": "embedding"}], "model": "m",
                "object": "list", "usage": {"prompt_tokens": 7, "total_tokens": 7}}  # fmt: skip
    if path.endswith("/rerank"):
        results = [{"index": 0, "relevance_score": 0.9}]
        if shape == "cohere":
            return {"id": "r", "results": results, "meta": {"billed_units": {"search_units": 1}}}
        return {"model": "m", "results": results, "usage": {"total_tokens": 9}}
    usage = {} if shape == "mute" else {"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
    message = {"role": "assistant", "content": "" if shape == "mute" else "Fine."}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            **usage}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        shape = self.path.split("/")[1]
        self.server.came.append((shape, self.path, self.headers.get("authorization")))
        getattr(self, shape, self.answer)()

    do_GET = do_POST  # noqa: N815 - the name that the base class looks for

    def send(self, status, body, kind="application/json", **headers):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        if self.headers.get("authorization") != f"Bearer {KEY}":
            sent = self.headers.get("authorization")
            words = {"error": {"message": f"Incorrect API key provided: {sent} at {self.path}?api_key={sent}"}}
            self.send(401, json.dumps(words).encode())
            return
        self.send(200, json.dumps(good(self.path, self.path.split("/")[1])).encode())

    def slow(self):
        self.server.stopped.wait(30)

    def drip(self):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "1000000")
        self.end_headers()
        while not self.server.stopped.wait(0.1):
            self.wfile.write(b" ")
            self.wfile.flush()

    def html(self):
        self.send(200, b"<!doctype html><h1>Welcome</h1>", "text/html; charset=utf-8")

    def disguised(self):
        self.send(200, b"<!doctype html><h1>Welcome</h1>")

    def empty(self):
        self.send(200, b"{}")

    def failing(self):
        self.send(503, b"<html>Service Unavailable</html>", "text/html")

    def limited(self):
        self.send(429, b'{"error": {"message": "You exceeded your current quota"}}')

    def missing(self):
        self.send(404, b'{"error": {"message": "The model does not exist"}}')

    def redirect(self):
        target = f"{self.server.url}/good/v1/chat/completions?token=sk-echo-of-a-key-0123456789"
        self.send(307, b"", location=target)

    def huge(self):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(1 << 30))
        self.end_headers()
        self.flood(lambda piece: piece)

    def endless(self):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.flood(lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece))

    def flood(self, frame):
        piece, end = frame(b" " * (1 << 16)), time.monotonic() + 20
        while time.monotonic() < end:
            self.wfile.write(piece)

    def bomb(self):
        self.send(200, BOMB, content_encoding="gzip")

    def log_message(self, *_):
        pass
