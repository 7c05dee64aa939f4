"""`ragmeter doctor` on what is installed here, and on what does not fit."""

import json
import os
import subprocess
import sys

from ragmeter import Ledger, record_tokens


def examined(*path, code=0, **environment):
    """What the doctor found, by what it looked at."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAGMETER")},
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        **environment,
    }
    command = [sys.executable, "-m", "ragmeter", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return {finding["what"]: finding for finding in json.loads(done.stdout)}


def test_everything_that_is_installed_here_fits_and_is_seen(tmp_path):
    url = f"sqlite:{tmp_path}/ledger.db"
    with Ledger.open(url):
        record_tokens(1, 2, "m")
    found = examined(RAGMETER_LEDGER=url)
    for what, state in {
        "SDK openai": "ok", "calls of the openai SDK": "ok", "LightRAG": "ok", "LightRAG's server": "ok",
        "RAGFlow": "absent", "ledger": "ok", "backend": "absent",
    }.items():  # fmt: skip
        assert found[what]["state"] == state, found[what]
    assert "3 of 3 calls" in found["calls of the openai SDK"]["says"]
    assert "hooks fit" in found["LightRAG"]["says"]
    assert ": 1 calls in the last 24 hours" in found["ledger"]["says"]  # its own trials are not among them
    with Ledger.open(url, attach=False) as ledger:
        assert len(list(ledger.calls())) == 1


def test_what_does_not_fit_is_called_wrong(tmp_path):
    for path, text in {
        "openai/__init__.py": "class OpenAI: pass\n",
        "lightrag/__init__.py": "class LightRAG: pass\nclass QueryParam: pass\n",
        "lightrag/api/__init__.py": "",
        "lightrag/api/lightrag_server.py": "def make_app(): pass\n",
        "common/token_utils.py": "",
        "agent/canvas.py": "class Canvas: pass\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    url = f"sqlite:{tmp_path}/no/such/folder/ledger.db"
    found = examined(tmp_path, code=1, RAGMETER_LEDGER=url, RAGMETER_WEBHOOK_URL="http://127.0.0.1:1/")
    for what in ("SDK openai", "calls of the openai SDK", "LightRAG", "LightRAG's server", "RAGFlow", "ledger"):
        assert found[what]["state"] == "wrong", found[what]
    assert "lightrag_server has no create_app" in found["LightRAG's server"]["says"]
    assert "agent.canvas has no Canvas.run" in found["RAGFlow"]["says"]
    assert found["backend"]["state"] == "ok"
