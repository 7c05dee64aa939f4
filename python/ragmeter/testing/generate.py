"""What an answer costs: the counts that a provider would bill for a prompt and the text it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragmeter.testing.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ragmeter.testing.prompt import Prompt
    from ragmeter.testing.text import PromptCache, Tokenizer

PER_MESSAGE = 4
PER_ANSWER = 3
PER_IMAGE = 85
AUDIO_CHARACTERS = 100


@dataclass(slots=True)
class Generation:
    """An answer and its counts, as they are when all of it is written. Totals are inclusive."""

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
    written: int = field(default=0, init=False)
    """Tokens that were written so far, of a stream; what is thought is thought before."""

    def __post_init__(self) -> None:
        self.written = self.reasoning_tokens

    @property
    def text(self) -> str:
        """The first choice."""
        return "".join(self.choices[0])

    def write(self, size: int) -> Iterator[tuple[int, str]]:
        """Write the choices, so many tokens at once: the number of the choice, and what is written of it."""
        for index, choice in enumerate(self.choices):
            for start in range(0, len(choice), size):
                part = choice[start : start + size]
                self.written += len(part)
                yield index, "".join(part)


def prompt_tokens(prompt: Prompt, words: int) -> int:
    """What a prompt costs: its text, a frame and the role of each message, and three for the answer to begin with."""
    images = sum(message.images for message in prompt.messages)
    return words + PER_MESSAGE * len(prompt.messages) + PER_ANSWER + PER_IMAGE * images + audio_tokens(prompt)


def audio_tokens(prompt: Prompt) -> int:
    """One token for every hundred characters of base64 audio."""
    return sum(-(-message.audio // AUDIO_CHARACTERS) for message in prompt.messages)


def generate(
    prompt: Prompt,
    text: str,
    *,
    body: Mapping[str, Any],
    limit: int | None,
    tokenizer: Tokenizer,
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
        tokenizer: Cuts a text into the model's tokens.
        cache: The prompts seen before.
        model: The model.
        reasoning: Reasoning tokens for each visible token.
        fault: EMPTY and TRUNCATED change what is written.
    """
    asked = [piece for part in prompt.parts for piece in tokenizer(part, model)]
    visible = tokenizer(text, model)
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
    accepted, rejected = _predicted(body, visible, lambda text: tokenizer(text, model))
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


def _predicted(body: Mapping[str, Any], visible: list[str], pieces: Callable[[str], list[str]]) -> tuple[int, int]:
    prediction = body.get("prediction")
    if not isinstance(prediction, Mapping):
        return 0, 0
    content = prediction.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    predicted = pieces("".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping)))
    accepted = sum((Counter(predicted) & Counter(visible)).values())
    return accepted, len(predicted) - accepted
