"""Reading a request: its text, its markers, and what LightRAG wants of the model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ragmeter.testing.names import MARKER

FENCED = re.compile(r"(?:Input Text---|<Input Text>|Text:)\s*\n```\n(.*)\n```", re.DOTALL)
ASKED = (
    ("vlm", re.compile(r"\AYou are an expert (?:\w+ )?analyzer")),
    ("keyword", re.compile(r"high_level_keywords.*low_level_keywords", re.DOTALL)),
    ("glean", re.compile(r"\A\s*(?:---Task---\s*Based on the last|MANY entities)|may have still been missed")),
    ("extract", re.compile(r"Extract entities and relationships from|identify all entities of those types")),
    ("summary", re.compile(r"Description List:")),
)
"""What the last message says, by the role it asks for; the first that fits."""
CONTEXT = re.compile(r"Knowledge (?:Graph|Base)|Document Chunks|data tables")
BARE = re.compile(r"Text:\s*\n(.*?)\n#{6,}\s*\nOutput:", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, as plain text."""

    role: str
    text: str
    images: int = 0
    audio: int = 0
    """Characters of base64 audio."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation, and the role that LightRAG asks the model to play in it."""

    messages: tuple[Message, ...]
    role: str
    json: bool = False
    """Whether the request asks for a JSON object."""
    extra: str = field(default="", repr=False)
    """Text outside the messages that costs tokens too: tools and schemas."""

    @property
    def parts(self) -> list[str]:
        """The texts in it, in order."""
        return [self.extra, *(message.text for message in self.messages)]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.parts)

    @property
    def last(self) -> str:
        """What the user said last."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def system(self) -> str:
        """What stands before the conversation."""
        return "\n".join(message.text for message in self.messages if message.role in {"system", "developer"})


def markers(*texts: str) -> tuple[str, ...]:
    """The markers in some texts, each once, in order."""
    return tuple(dict.fromkeys(marker for text in texts for marker in MARKER.findall(text)))


def read(messages: list[Any], body: Mapping[str, Any]) -> Prompt:
    """Read a conversation as any of the APIs sends it."""
    said = tuple(_message(message) for message in messages)
    extra = "".join(json.dumps(body[key]) for key in ("tools", "functions") if body.get(key))
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, Mapping) else body.get("response_format")
    kind = str(wanted.get("type")) if isinstance(wanted, Mapping) else ""
    wants_json = kind in {"json_object", "json_schema"}
    if kind == "json_schema":
        extra += json.dumps(wanted)
    return Prompt(said, recognise(said), wants_json, extra)


def recognise(messages: tuple[Message, ...]) -> str:
    """The role of LightRAG's prompts from 1.2 to 1.5: extract, glean, keyword, summary, query, vlm, or other."""
    last = next((message for message in reversed(messages) if message.role == "user"), Message("user", ""))
    system = "\n".join(message.text for message in messages if message.role in {"system", "developer"})
    if last.images:
        return "vlm"
    for role, said in ASKED:
        if said.search(last.text):
            return role
    return "query" if CONTEXT.search(system) else "other"


def passage(prompt: Prompt) -> str:
    """The text that an extraction prompt wants read; for gleaning, the one of the turn before."""
    for message in reversed(prompt.messages):
        if message.role != "user":
            continue
        # Up to 1.4 the examples before the real data have the same form.
        text = message.text.rsplit("---Real Data---", 1)[-1]
        if found := FENCED.search(text) or BARE.search(text):
            return found.group(1).strip("` \n")
    # 1.4.8 and 1.4.9 gave it before the conversation.
    found = FENCED.search(prompt.system.rsplit("---Real Data", 1)[-1])
    return found.group(1).strip("` \n") if found else prompt.last


def _message(message: Any) -> Message:
    if not isinstance(message, Mapping):
        return Message("user", str(message))
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    texts: list[str] = []
    images = audio = 0
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            if isinstance(part.get("text"), str):
                texts.append(part["text"])
            images += part.get("type") in {"image_url", "input_image"}
            sound = part.get("input_audio")
            audio += len(str(sound.get("data", ""))) if isinstance(sound, Mapping) else 0
    if message.get("tool_calls"):
        texts.append(json.dumps(message["tool_calls"]))
    return Message(str(message.get("role", "user")), "\n".join(texts), images, audio)
