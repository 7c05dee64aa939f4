"""What RAGFlow's token functions answer, written by hand from their description: input, exact answer, fixed answer.

`Raises(kind)` stands for an error. Where the fixed answer is `SAME`, nothing was wrong with the original.
"""

from decimal import Decimal
from types import SimpleNamespace as Object

SAME = object()


class Raises:
    def __init__(self, kind):
        self.kind = kind


def usage(prompt, completion, total):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


class Stubborn(dict):
    """A dict whose attributes raise, as DashScope's do."""

    def __getattr__(self, name):
        raise KeyError(name)


class Broken:
    @property
    def usage(self):
        raise RuntimeError("no usage for you")


class GetterDict(dict):
    def get(self, key, default=None):
        return {"usage": {"total_tokens": 7}}.get(key, default)


NAN = float("nan")
OPENAI = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
ANTHROPIC = {
    "input_tokens": 15,
    "output_tokens": 100,
    "cache_creation_input_tokens": 1000,
    "cache_read_input_tokens": 0,
}

USAGE = [
    # what it is, answer, exact, fixed
    ("None", None, usage(0, 0, 0), SAME),
    ("nothing known", object(), usage(0, 0, 0), SAME),
    ("empty dict", {}, usage(0, 0, 0), SAME),
    ("openai dict", {"usage": OPENAI}, usage(10, 5, 15), SAME),
    ("openai object", Object(usage=Object(**OPENAI)), usage(10, 5, 15), SAME),
    ("dict in an object", Object(usage=OPENAI), usage(10, 5, 15), SAME),
    ("object in a dict", {"usage": Object(**OPENAI)}, usage(10, 5, 15), SAME),
    ("no total", {"usage": {"prompt_tokens": 10, "completion_tokens": 5}}, usage(10, 5, 15), SAME),
    ("total larger than the parts", {"usage": {**OPENAI, "total_tokens": 40}}, usage(10, 5, 40), SAME),
    ("names of the responses API", {"usage": {"input_tokens": 10, "output_tokens": 5}}, usage(10, 5, 15), SAME),
    ("first true name wins", {"usage": {"prompt_tokens": 0, "input_tokens": 9}}, usage(9, 0, 9), SAME),
    ("usage None", {"usage": None}, usage(0, 0, 0), SAME),
    ("usage empty", {"usage": {}}, usage(0, 0, 0), SAME),
    ("usage 0", Object(usage=0), usage(0, 0, 0), SAME),
    ("usage 0 hides the item", GetterDict(usage=0), usage(0, 0, 7), SAME),
    ("a dict's own get", GetterDict(), usage(0, 0, 7), SAME),
    ("texts", {"usage": {"prompt_tokens": "10", "completion_tokens": "5"}}, usage(10, 5, 15), SAME),
    ("floats", {"usage": {"prompt_tokens": 10.9, "completion_tokens": 5.2}}, usage(10, 5, 15), SAME),
    ("decimals", {"usage": {"prompt_tokens": Decimal(10)}}, usage(10, 0, 10), SAME),
    ("attributes that raise", Stubborn(usage=OPENAI), usage(0, 0, 0), usage(10, 5, 15)),
    ("a property that raises", Broken(), usage(0, 0, 0), SAME),
    ("a text that is no number", {"usage": {"prompt_tokens": "many"}}, Raises(ValueError), usage(0, 0, 0)),
    ("infinity", {"usage": {"prompt_tokens": float("inf")}}, Raises(OverflowError), usage(0, 0, 0)),
    ("not a number", {"usage": {"prompt_tokens": NAN}}, Raises(ValueError), usage(0, 0, 0)),
    ("Anthropic's cache", {"usage": ANTHROPIC}, usage(15, 100, 115), usage(1015, 100, 1115)),
    (
        "Gemini",
        {"usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 14}},
        usage(0, 0, 0),
        usage(10, 4, 14),
    ),
    ("Ollama", {"done": True, "prompt_eval_count": 26, "eval_count": 4}, usage(0, 0, 0), usage(26, 4, 30)),
    ("Bedrock", {"usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}}, usage(0, 0, 0), usage(7, 3, 10)),
]

TOTAL = [
    ("None", None, 0, SAME),
    ("nothing known", object(), 0, SAME),
    ("empty dict", {}, 0, SAME),
    ("openai dict", {"usage": OPENAI}, 15, SAME),
    ("openai object", Object(usage=Object(**OPENAI)), 15, SAME),
    ("input and output", {"usage": {"input_tokens": 10, "output_tokens": 5}}, 15, SAME),
    ("a text as it is", Object(usage=Object(total_tokens="15")), "15", 15),
    ("None as it is", Object(usage=Object(total_tokens=None)), None, 0),
    ("prompt and completion", {"usage": {"prompt_tokens": 10, "completion_tokens": 20}}, 0, 30),
    ("usage None", {"usage": None}, Raises(TypeError), 0),
    ("usage a number", {"usage": 5}, Raises(TypeError), 0),
    ("meta None", {"meta": None}, Raises(TypeError), 0),
    ("usage None in an object", Object(usage=None), 0, SAME),
    ("Gemini's old name", Object(usage_metadata=Object(total_tokens=14)), 14, SAME),
    (
        "Gemini",
        Object(usage_metadata=Object(prompt_token_count=10, candidates_token_count=4, total_token_count=14)),
        0,
        14,
    ),
    ("Jina", {"meta": {"tokens": {"input_tokens": 10, "output_tokens": 5}}}, 15, SAME),
    ("Anthropic's cache", {"usage": ANTHROPIC}, 115, 1115),
    ("a property that raises", Broken(), 0, SAME),
    ("attributes that raise", Stubborn(usage=OPENAI), 15, SAME),
]
