"""What an answer costs: the counts that a provider would bill for a prompt and the text it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragmeter.testing.fault import Fault
from ragmeter.testing.text import PromptCache, pieces

if TYPE_CHECKING:
    from ragmeter.testing.prompt import Prompt

PER_MESSAGE = 3
PER_IMAGE = 85
AUDIO_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Generation:
    """A written answer and its counts. Totals are inclusive."""

    choices: tuple[tuple[str, ...], ...]
    """The visible tokens of each choice."""
    finish: str
    """`stop` or `length`."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0

    @property
    def text(self) -> str:
        """The first choice."""
        return "".join(self.choices[0])


def prompt_tokens(prompt: Prompt, words: int) -> int:
    """What a prompt costs: its text, three tokens a message and three for the answer to begin with."""
    images = sum(message.images for message in prompt.messages)
    return words + PER_MESSAGE * (len(prompt.messages) + 1) + PER_IMAGE * images + audio_tokens(prompt)


def audio_tokens(prompt: Prompt) -> int:
    """One token for every hundred characters of base64 audio."""
    return sum(-(-message.audio // AUDIO_CHARACTERS) for message in prompt.messages)


def generate(
    prompt: Prompt,
    text: str,
    *,
    body: Mapping[str, Any],
    limit: int | None,
    cache: PromptCache,
    model: str,
    reasoning: float,
    fault: Fault | None,
) -> Generation:
    """Bill a text as the answer to a prompt.

    Args:
        prompt: What was asked.
        text: What the model would say at its leisure.
        body: The request, for `n`, `prediction` and `modalities`.
        limit: At most this many completion tokens, reasoning included.
        cache: The prompts seen before.
        model: The model, for the cache.
        reasoning: Reasoning tokens for each visible token.
        fault: EMPTY and TRUNCATED change what is written.
    """
    asked = pieces(prompt.text)
    visible = pieces(text)
    thought = int(len(visible) * reasoning)
    finish = "stop"
    if fault is Fault.EMPTY:
        thought, visible = thought + len(visible), []
    elif fault is Fault.TRUNCATED:
        visible, finish = visible[: max(1, len(visible) // 2)], "length"
    if limit is not None and thought + len(visible) > limit:
        thought = min(thought, int(limit * reasoning / (1 + reasoning)))
        visible, finish = visible[: limit - thought], "length"
    copies = max(1, int(body.get("n") or 1))
    accepted, rejected = _predicted(body, visible)
    return Generation(
        choices=(tuple(visible),) * copies,
        finish=finish,
        prompt_tokens=prompt_tokens(prompt, len(asked)),
        completion_tokens=(thought + len(visible)) * copies + rejected,
        cached_tokens=cache.hit(model, asked),
        reasoning_tokens=thought * copies,
        prompt_audio_tokens=audio_tokens(prompt),
        completion_audio_tokens=len(visible) // 2 if "audio" in (body.get("modalities") or ()) else 0,
        accepted_prediction_tokens=accepted,
        rejected_prediction_tokens=rejected,
    )


def _predicted(body: Mapping[str, Any], visible: list[str]) -> tuple[int, int]:
    prediction = body.get("prediction")
    if not isinstance(prediction, Mapping):
        return 0, 0
    content = prediction.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    predicted = pieces("".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping)))
    accepted = sum((Counter(predicted) & Counter(visible)).values())
    return accepted, len(predicted) - accepted
