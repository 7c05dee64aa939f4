"""The names of a real checkout are ragmeter's, and its own again afterwards."""

import importlib

from ragmeter import ragflow


def test_the_names_are_ragmeters(real):
    for name in ragflow.names.NAMES:
        assert hasattr(real.token_utils, name)
    assert real.llm_service.record_run_token_usage is ragflow.record_run_token_usage
    assert real.canvas.token_usage_sink is ragflow.token_usage_sink
    assert "tiktoken" not in vars(real.token_utils)


def test_uninstall_brings_everything_back(real):
    ragflow.uninstall()
    assert real.canvas.Canvas.run.__code__.co_filename.endswith("agent/canvas.py")
    assert real.llm_service.LLMBundle.encode.__code__.co_filename.endswith("llm_service.py")
    assert real.chat_model.Base.__dict__.get("last_usage") is None
    assert (
        importlib.import_module("langfuse").Langfuse
        is importlib.import_module("api.db.services.dialog_service").Langfuse
    )
