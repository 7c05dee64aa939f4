"""Dialects: the protocols that the stub server speaks beside OpenAI's."""

from __future__ import annotations

from ragmeter.testing.dialects.anthropic import Anthropic
from ragmeter.testing.dialects.bedrock import Bedrock
from ragmeter.testing.dialects.dashscope import DashScope
from ragmeter.testing.dialects.gemini import Gemini
from ragmeter.testing.dialects.lollms import Lollms
from ragmeter.testing.dialects.ollama import Ollama
from ragmeter.testing.dialects.rerankers import Cohere
from ragmeter.testing.dialects.voyage import Voyage
from ragmeter.testing.dialects.zhipu import Zhipu

DIALECTS = (Ollama(), Gemini(), Anthropic(), Bedrock(), Zhipu(), Voyage(), Cohere(), DashScope(), Lollms())
"""The first that knows a path speaks."""
