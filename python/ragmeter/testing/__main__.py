"""`python -m ragmeter.testing`: run the stub server until it is interrupted."""

from __future__ import annotations

import argparse
import signal
from threading import Event

from ragmeter.testing import StubServer


def main() -> None:
    """Start the server, print its base URL, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m ragmeter.testing", description="An OpenAI-compatible stub server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--api-key", help="refuse every other key")
    parser.add_argument("--dimensions", type=int, default=64, help="length of an embedding")
    given = parser.parse_args()
    done = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with StubServer(host=given.host, port=given.port, api_key=given.api_key, dimensions=given.dimensions) as server:
        print(server.base_url, flush=True)
        done.wait()
        billed = server.totals()
        print(f"{billed.calls} calls, {billed.total_tokens} tokens, {billed.embedding_tokens} embedding tokens")


if __name__ == "__main__":
    main()
