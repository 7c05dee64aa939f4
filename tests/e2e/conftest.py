"""What the end-to-end tests share: one stub server, a receiver of webhooks, database servers of their own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ragmeter import Ledger, LedgerError
from ragmeter.testing import StubServer


@pytest.fixture(scope="session")
def stub_server():
    with StubServer() as server:
        yield server


@pytest.fixture
def server(stub_server):
    stub_server.reset()
    return stub_server


class Receiver(ThreadingHTTPServer):
    """Answers with the next of `faults`, then 200; keeps what came and what it took."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.faults, self.came, self.taken, self.lock = [], [], [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def ids(self, messages):
        return [{name.lower(): text for name, text in headers.items()}["webhook-id"] for headers, *_ in messages]

    def wait_for(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


class ReceiverHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            fault = self.server.faults.pop(0) if self.server.faults else "take"
            message = (dict(self.headers.items()), body, self.path, time.monotonic())
            self.server.came.append(message)
            if fault in {"take", "take and cut"}:
                self.server.taken.append(message)
        if fault == "time out":
            time.sleep(1)
        if fault in {"cut", "take and cut", "time out"}:
            self.close_connection = True
            return
        status = {"take": 200, "wait": 429}.get(fault, fault)
        self.send_response(status)
        if fault == "wait":
            self.send_header("retry-after", "1")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.shutdown()
    receiver.server_close()


class DatabaseServer:
    """A PostgreSQL or MariaDB server of the test's own; with a certificate and its key it takes TLS only."""

    def __init__(self, kind, certificate=None):
        self.kind, self.process, self.certificate = kind, None, certificate
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = "postgres" if kind == "postgresql" else "mysql"
        # Not in a folder of pytest, which only its own user may enter.
        folder = self.folder = Path(tempfile.mkdtemp(prefix="ragmeter-server-"))
        if certificate:
            self.certificate = [shutil.copy(path, folder) for path in certificate]
        if os.geteuid() == 0:
            for path in [folder, *folder.iterdir()]:
                shutil.chown(path, self.user)
        if kind == "postgresql":
            self.bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
            self.run([self.bin / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync"])
            self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
            if certificate:
                (folder / "data" / "pg_hba.conf").write_text("hostssl all all all trust\n")
        else:
            self.run(["mariadb-install-db", f"--datadir={folder}/data", "--auth-root-authentication-method=normal",
                      "--skip-test-db", "--force"])  # fmt: skip
            self.url = f"mysql://root@127.0.0.1:{self.port}/mysql"

    def as_user(self, command):
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", *command] \
            if os.geteuid() == 0 else command  # fmt: skip

    def run(self, command):
        subprocess.run(self.as_user(command), check=True, capture_output=True, cwd=self.folder)

    def start(self):
        data, (certificate, key) = self.folder / "data", self.certificate or (None, None)
        if self.kind == "postgresql":
            command = [self.bin / "postgres", "-D", data, "-p", str(self.port), "-k", self.folder]
            if certificate:
                command += ["-c", "ssl=on", "-c", f"ssl_cert_file={certificate}", "-c", f"ssl_key_file={key}"]
        else:
            command = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--port={self.port}",
                       "--bind-address=127.0.0.1", f"--socket={self.folder}/s", f"--pid-file={self.folder}/p",
                       "--innodb-buffer-pool-size=64M"]  # fmt: skip
            if certificate:
                command += [f"--ssl-cert={certificate}", f"--ssl-key={key}", "--require-secure-transport=ON"]
            else:
                command.append("--skip-ssl")
        self.process = subprocess.Popen(
            self.as_user(command), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(300):
            try:
                Ledger(self.url).check()
            except LedgerError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the server does not start")

    def stop(self):
        """Not gently."""
        self.process.send_signal(signal.SIGQUIT if self.kind == "postgresql" else signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture(scope="session")
def private_server():
    """Starts a server of that kind, which ends with the tests."""
    servers = []

    def start(kind, certificate=None):
        server = DatabaseServer(kind, certificate)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
        shutil.rmtree(server.folder)
