"""`ragmeter doctor` on what is installed here, and on what does not fit."""

import json
import os
import subprocess
import sys

from ragmeter import Ledger, record_tokens
from ragmeter.commands import doctor
from ragmeter.observe import observers


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
        **{f"SDK {name}": "ok" for name in observers()},
        "SDK zai": "absent",  # it needs another PyJWT than zhipuai
        "LightRAG": "ok", "LightRAG's server": "ok", "RAGFlow": "absent", "ledger": "ok", "backend": "absent",
    }.items():  # fmt: skip
        assert found[what]["state"] == state, found[what]
    assert "3 of 3 calls" in found["SDK openai"]["says"]
    assert all("are seen" in found[f"SDK {name}"]["says"] for name in observers() if name != "zai")
    assert "hooks of the family 'roles' (1.5.0 and later) fit" in found["LightRAG"]["says"]
    assert ": 1 calls in the last 24 hours" in found["ledger"]["says"]  # its own trials are not among them
    with Ledger.open(url, attach=False) as ledger:
        assert len(list(ledger.calls())) == 1


def test_calls_that_are_not_seen_are_told_of(monkeypatch):
    monkeypatch.setattr("ragmeter.instrument", lambda name: None)
    found = doctor._checked("SDK aiohttp", "aiohttp", lambda: doctor._sdk("aiohttp"))
    assert found.state == "wrong"
    assert "0 of 1 calls were seen, 0 of" in found.says
    assert doctor._checked("SDK x", "no_such_sdk", lambda: "ok") == ("SDK x", "absent", "not installed")


def test_what_does_not_fit_is_called_wrong(tmp_path):
    fakes = {f"{name.replace('.', '/')}/__init__.py": "" for name in observers()}
    for path, text in {
        **fakes,
        "lightrag/__init__.py": "class LightRAG: pass\nclass QueryParam: pass\n",
        "lightrag/api/__init__.py": "",
        "lightrag/api/lightrag_server.py": "def make_app(): pass\n",
        "common/token_utils.py": "",
        "agent/canvas.py": "class Canvas: pass\n",
        "rag/llm/chat_model.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    url = f"sqlite:{tmp_path}/no/such/folder/ledger.db"
    found = examined(tmp_path, code=1, RAGMETER_LEDGER=url, RAGMETER_WEBHOOK_URL="http://127.0.0.1:1/")
    for what in (
        *(f"SDK {name}" for name in observers()),
        "LightRAG",
        "LightRAG's server",
        "RAGFlow",
        "ledger",
    ):
        assert found[what]["state"] == "wrong", found[what]
    assert "lightrag_server has no create_app" in found["LightRAG's server"]["says"]
    assert "agent.canvas has no Canvas.run" in found["RAGFlow"]["says"]
    assert found["backend"]["state"] == "ok"
