"""A provider of what the stub server does not serve: rounds of tools, and speech both ways. It knows what it billed."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

HEARD = "Bah! Humbug!"


class Bill(NamedTuple):
    prompt_tokens: int
    completion_tokens: int


class Provider:
    """Asks for the tool `look` in the first `rounds` rounds of a request that brings tools, twice in each.

    Attributes:
        silent: It says nothing of usage.
        thoughts: Tokens of each answer that stand in its total only, as Gemini's thoughts do.
    """

    def __init__(self):
        self.rounds, self.bills, self.silent, self.thoughts = 2, [], False, 0

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                kind, answer = outer.serve(self.path, body)
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._server.server_close()

    def serve(self, path, body):
        if path.endswith("/audio/speech"):
            return "audio/mpeg", b"sound"
        if path.endswith("/audio/transcriptions"):
            usage = {"type": "tokens", "total_tokens": 20} | self._bill(Bill(14, 6), "input_tokens", "output_tokens")
            return "application/json", json.dumps({"text": HEARD, "usage": usage}).encode()
        return self._chat(json.loads(body))

    def _bill(self, bill, prompt, completion):
        self.bills.append(bill)
        return {prompt: bill.prompt_tokens, completion: bill.completion_tokens}

    def _chat(self, request):
        rounds = sum(bool(message.get("tool_calls")) for message in request["messages"])
        said = {"role": "assistant", "content": "It is a door-knocker.", "tool_calls": None}
        if request.get("tools") and rounds < self.rounds:
            function = {"name": "look", "arguments": json.dumps({"at": rounds})}
            calls = [{"index": i, "id": f"c{rounds}{i}", "type": "function", "function": function} for i in range(2)]
            said = {"role": "assistant", "content": None, "tool_calls": calls}
        bill = Bill(len(json.dumps(request["messages"])) // 4, 7 + rounds + self.thoughts)
        usage = self._bill(bill, "prompt_tokens", "completion_tokens") | {"total_tokens": sum(bill)}
        usage["completion_tokens"] -= self.thoughts
        answer = {"id": f"a{len(self.bills)}", "created": 1, "model": request["model"]}
        end = "tool_calls" if said["tool_calls"] else "stop"
        if not request.get("stream"):
            choices = [{"index": 0, "message": said, "finish_reason": end}]
            answer |= {"object": "chat.completion", "choices": choices} | ({} if self.silent else {"usage": usage})
            return "application/json", json.dumps(answer).encode()
        answer["object"] = "chat.completion.chunk"
        chunks = [
            answer | {"choices": [{"index": 0, "delta": said, "finish_reason": None}]},
            answer | {"choices": [{"index": 0, "delta": {}, "finish_reason": end}]},
        ]
        if (request.get("stream_options") or {}).get("include_usage") and not self.silent:
            chunks.append(answer | {"choices": [], "usage": usage})
        events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        return "text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode()
