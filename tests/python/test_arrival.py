"""Modules are heard of however they are started."""

import os
import subprocess
import sys

SITE = """
from ragmeter import arrival
arrival.when_imported("house.server", lambda module: setattr(module, "heard", True))
"""
SERVER = """
import sys
heard = False
def main():
    print(__name__, heard, sys.argv[1:])
    return "as it ends"
if __name__ == "__main__":
    sys.exit(main())
"""
BARE = "print(__name__)"


def run_as_module(folder, server):
    (folder / "house").mkdir(exist_ok=True)
    (folder / "house" / "__init__.py").touch()
    (folder / "house" / "server.py").write_text(server)
    (folder / "sitecustomize.py").write_text(SITE)
    command = [sys.executable, "-m", "house.server", "--port", "1"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_server_that_python_runs_as_its_main_module_is_heard_of(tmp_path):
    done = run_as_module(tmp_path, SERVER)
    assert done.stdout == "house.server True ['--port', '1']\n"
    assert (done.returncode, done.stderr) == (1, "as it ends\n")


def test_a_module_without_a_main_runs_as_it_is(tmp_path):
    assert run_as_module(tmp_path, BARE).stdout == "__main__\n"
