"""The module of the names: what it depends on, and what it leaves in the environment."""

import json
import os
import subprocess
import sys


def python(code, **environment):
    variables = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SHOW = "import json, ragmeter.ragflow as r; print(json.dumps([r.num_tokens_from_string('<|endoftext|>'), r.EXACT]))"


def test_exact_mode_is_chosen_by_the_environment():
    assert json.loads(python(SHOW, RAGMETER_RAGFLOW_COMPAT="exact")) == [0, True]
    assert json.loads(python(SHOW, RAGMETER_RAGFLOW_COMPAT="")) == [7, False]


def test_importing_it_imports_neither_tiktoken_nor_the_openai_sdk_nor_numpy():
    heavy = "('tiktoken', 'openai', 'numpy', 'pydantic', 'regex', 'requests', 'langfuse', 'litellm')"
    assert python(f"import sys, ragmeter.ragflow; print([name for name in {heavy} if name in sys.modules])") == "[]"
    assert python("import sys, ragmeter; print('ragmeter.ragflow' in sys.modules)") == "False"


def test_the_cache_of_tiktoken_is_where_the_original_puts_it(tmp_path):
    for mark in ("rag/llm/chat_model.py", "agent/canvas.py", "ragflow_deps/cl100k_base.tiktoken"):
        (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mark).write_text("contents")
    show = "import os, ragmeter.ragflow as r; print(r.tiktoken_cache_dir, os.environ['TIKTOKEN_CACHE_DIR'])"
    base = str(tmp_path)
    assert python(show, PYTHONPATH=base, TIKTOKEN_CACHE_DIR="/elsewhere") == f"{base} {base}"
    assert (tmp_path / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").read_text() == "contents"
    assert python(show, TIKTOKEN_CACHE_DIR="/elsewhere") == "/elsewhere /elsewhere"
