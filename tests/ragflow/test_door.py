"""The ways in and out: install before and after the host's import, `ragmeter run`, and releases that do not fit."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from ragmeter import ragflow
from ragmeter.ragflow import names
from ragmeter.ragflow.fit import Misfit

from .conftest import HOST, import_host


def held_by(host):
    """What the modules of the host hold of the token functions."""
    return {
        "sink": host.canvas.token_usage_sink,
        "attrs": host.canvas.langfuse_run_attrs,
        "record": host.llm_service.record_run_token_usage,
        "usage": host.models.usage_from_response,
        "total": host.models.total_token_count_from_response,
        "count": host.models.num_tokens_from_string,
        **{name: getattr(host.token_utils, name) for name in names.NAMES},
    }


def everything_replaced(host):
    classes = (
        host.canvas.Canvas,
        host.llm_service.LLMBundle,
        host.models.Base,
        host.base.ComponentBase,
        host.tools.LLMToolPluginCallSession,
        threading.Thread,
        ThreadPoolExecutor,
    )
    return [dict(vars(cls)) for cls in classes]


OURS = {
    "sink": ragflow.token_usage_sink,
    "attrs": ragflow.langfuse_run_attrs,
    "record": ragflow.record_run_token_usage,
    "usage": ragflow.usage_from_response,
    "total": ragflow.total_token_count_from_response,
    "count": ragflow.num_tokens_from_string,
    **{name: getattr(ragflow, name) for name in names.NAMES},
}


def test_install_after_the_import_updates_every_module_and_uninstall_restores_it(host_path):
    host = import_host()
    before = held_by(host)
    assert before["record"] is not ragflow.record_run_token_usage
    ragflow.install()
    assert ragflow.installed()
    assert held_by(host) == OURS
    ragflow.uninstall()
    assert not ragflow.installed()
    after = held_by(host)
    assert all(after[name] is before[name] for name in before)


def test_install_before_the_import_spares_the_original(host_path):
    ragflow.install()
    host = import_host()
    assert held_by(host) == OURS
    assert not hasattr(host.token_utils, "_Words")
    assert sys.modules["common"].token_utils is host.token_utils
    ragflow.uninstall()
    original = importlib.import_module("common.token_utils")
    assert hasattr(original, "_Words")
    after = held_by(host)
    assert after["record"] is original.record_run_token_usage
    assert after["sink"] is original.token_usage_sink
    assert not [value for value in (after["record"], after["count"], after["sink"]) if value in list(OURS.values())]


def test_a_name_under_another_name_is_replaced_too(host_path):
    host = import_host()
    host.canvas.shorten = host.token_utils.truncate
    original = host.token_utils.truncate
    ragflow.install()
    assert host.canvas.shorten is ragflow.truncate
    ragflow.uninstall()
    assert host.canvas.shorten is original


def test_the_users_own_imports_of_ragmeter_are_left_alone(host_path):
    mine = types.ModuleType("mine")
    mine.record, mine.usage = ragflow.record_run_token_usage, ragflow.usage_from_response
    sys.modules["mine"] = mine
    try:
        for _ in range(2):
            ragflow.install(runs=True)
            import_host()
            ragflow.uninstall()
            assert mine.record is ragflow.record_run_token_usage
            assert mine.usage is ragflow.usage_from_response
    finally:
        del sys.modules["mine"]


@pytest.mark.parametrize("first", [True, False])
def test_runs_are_uninstalled_without_a_trace(host_path, first):
    if first:
        ragflow.install(runs=True)
        host = import_host()
        ragflow.uninstall()
        pristine = None
    else:
        host = import_host()
        pristine = everything_replaced(host)
        for _ in range(2):
            ragflow.install(runs=True)
            assert everything_replaced(host) != pristine
            ragflow.install(runs=True)
            ragflow.uninstall()
    assert pristine is None or everything_replaced(host) == pristine
    assert "ragmeter" not in host.canvas.Canvas.run.__code__.co_filename
    assert "ragmeter" not in threading.Thread.start.__code__.co_filename
    assert not [finder for finder in sys.meta_path if type(finder).__module__ == "ragmeter.arrival"]


def test_runs_can_be_added_to_names(host_path):
    host = import_host()
    ragflow.install()
    original = host.canvas.Canvas.run
    ragflow.install(runs=True)
    assert host.canvas.Canvas.run is not original


@pytest.fixture
def misfit(tmp_path, monkeypatch, host_path):
    """A copy of the host to be spoiled."""
    copy = tmp_path / "release"
    shutil.copytree(HOST, copy)
    monkeypatch.syspath_prepend(str(copy))
    return copy


def spoil(page, old, new):
    text = page.read_text()
    assert old in text
    page.write_text(text.replace(old, new))


@pytest.mark.parametrize("imported", [True, False])
def test_a_release_that_does_not_fit_is_refused_with_what_is_missing(misfit, imported):
    spoil(misfit / "agent" / "canvas.py", "async def run(", "async def go(")
    spoil(misfit / "api" / "db" / "services" / "llm_service.py", "def tts(", "def speak(")
    if imported:
        host = import_host()
        before = held_by(host)
    with pytest.raises(Misfit) as refusal:
        ragflow.install(runs=True)
    assert str(refusal.value) == (
        "ragmeter does not fit this release of RAGFlow: agent.canvas has no Canvas.run; "
        "api.db.services.llm_service has no LLMBundle.tts. Nothing was changed."
    )
    assert not ragflow.installed()
    if imported:
        assert held_by(host) == before


def test_a_release_from_before_the_token_functions_had_a_module_is_refused(misfit, monkeypatch, program):
    (misfit / "common" / "token_utils.py").unlink()
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(HOST)])
    with pytest.raises(Misfit, match=r"of RAGFlow: it has no common\.token_utils\. Nothing was changed"):
        ragflow.install()
    program.write_text("import common.connection_utils")
    assert "NOT METERED" in ragmeter_run(program, path=misfit).stderr


@pytest.mark.parametrize("imported", [True, False])
def test_names_that_ragmeter_does_not_know_are_refused(misfit, imported):
    page = misfit / "common" / "token_utils.py"
    page.write_text(page.read_text() + "\n\ndef count_everything():\n    pass\n")
    if imported:
        import_host()
    with pytest.raises(Misfit, match=r"common\.token_utils has count_everything, which ragmeter has not"):
        ragflow.install()


def test_an_older_release_without_runs_is_served_the_names_it_has(misfit):
    spoil(misfit / "common" / "token_utils.py", "def truncate(", "def _truncate(")
    host = import_host()
    ragflow.install()
    assert host.token_utils.record_run_token_usage is ragflow.record_run_token_usage
    ragflow.uninstall()
    assert not hasattr(host.token_utils, "truncate")


# ---- ragmeter run

SERVER = """
import json, sys
import agent.canvas, api.db.services.llm_service, rag.llm.chat_model as models, common.token_utils as utils
print(json.dumps({
    "record": type(utils.record_run_token_usage).__name__,
    "run": agent.canvas.Canvas.run.__code__.co_filename,
    "bundle": api.db.services.llm_service.LLMBundle.encode.__code__.co_filename,
    "arguments": sys.argv[1:],
}))
sys.exit(7)
"""


def ragmeter_run(server, *options, path=HOST, arguments=(), **environment):
    command = [sys.executable, "-m", "ragmeter", "run", *options, "--", sys.executable, str(server), *arguments]
    variables = {**os.environ, "PYTHONPATH": str(path), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


@pytest.fixture
def program(tmp_path):
    page = tmp_path / "server.py"
    page.write_text(SERVER)
    return page


def test_a_server_is_started_with_ragmeter_in_it(program):
    done = ragmeter_run(program, arguments=["--port", "1"])
    assert (done.returncode, done.stderr) == (7, "")
    told = json.loads(done.stdout)
    assert told["record"] == "builtin_function_or_method"
    assert told["run"].endswith("ragmeter/ragflow/canvas.py")
    assert told["bundle"].endswith("ragmeter/ragflow/bundle.py")
    assert told["arguments"] == ["--port", "1"]


def test_names_only(program):
    told = json.loads(ragmeter_run(program, "--names-only").stdout)
    assert told["record"] == "builtin_function_or_method"
    assert told["run"].endswith("host/agent/canvas.py")


def test_a_server_of_another_release_runs_on_unmetered_and_says_so(program, misfit):
    spoil(misfit / "agent" / "canvas.py", "async def run(", "async def run_it(")
    program.write_text(SERVER.replace("Canvas.run", "Canvas.run_it"))
    done = ragmeter_run(program, path=misfit)
    assert done.returncode == 7
    assert (
        "THIS SERVER IS NOT METERED. ragmeter does not fit this release of RAGFlow: agent.canvas has no Canvas.run"
        in done.stderr
    )
    assert json.loads(done.stdout)["record"] == "function"
    done = ragmeter_run(program, "--strict", path=misfit)
    assert (done.returncode, done.stdout) == (3, "")
    assert "NOT METERED" in done.stderr


def test_what_is_no_host_runs_as_it_is(tmp_path):
    page = tmp_path / "other.py"
    page.write_text("import sys, json; print('ragmeter' in sys.modules, 'ragmeter.ragflow' in sys.modules)")
    done = ragmeter_run(page, path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[1] == "False"


def test_the_own_sitecustomize_of_the_user_still_runs(tmp_path, program):
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['SITE'] = 'mine'")
    program.write_text("import os, sitecustomize; print(os.environ['SITE'], sitecustomize.__file__)")
    done = ragmeter_run(program, path=tmp_path)
    assert done.stdout.split() == ["mine", str(tmp_path / "sitecustomize.py")]


def test_run_without_a_program_or_with_one_that_is_not_there():
    for command, code, said in (
        (["run"], 2, "name the program"),
        (["run", "--", "/no/such/program"], 127, "there is no program '/no/such/program'"),
    ):
        done = subprocess.run([sys.executable, "-m", "ragmeter", *command], capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert said in done.stderr


def test_installing_while_the_host_is_half_imported(host_path, monkeypatch):
    class Late:
        """Installs while `agent.canvas` runs its first import."""

        def find_spec(self, fullname, path=None, target=None):
            if fullname == "common":
                sys.meta_path.remove(self)
                ragflow.install(runs=True)

    sys.meta_path.insert(0, Late())
    canvas = importlib.import_module("agent.canvas")
    import_host()
    assert canvas.Canvas.run.__code__.co_filename.endswith("ragmeter/ragflow/canvas.py")
