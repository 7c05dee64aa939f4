"""RAGFlow's token functions in plain Python, written from their description: the other side of tests and benchmarks."""

import contextvars
import threading

sink_variable = contextvars.ContextVar("reference_sink", default=None)
_lock = threading.Lock()


def record(prompt_tokens=0, completion_tokens=0, total_tokens=0):
    sink = sink_variable.get()
    if sink is None:
        return
    try:
        with _lock:
            sink["prompt_tokens"] += int(prompt_tokens or 0)
            sink["completion_tokens"] += int(completion_tokens or 0)
            sink["total_tokens"] += int(total_tokens or 0)
            sink["calls"] += 1
    except Exception:  # noqa: BLE001
        pass


def usage_from_response(resp):
    counts = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if resp is None:
        return counts
    try:
        usage = getattr(resp, "usage", None)
        if usage is None and isinstance(resp, dict):
            usage = resp.get("usage")
    except Exception:  # noqa: BLE001
        usage = None
    if usage is None:
        return counts

    def first(*names):
        for name in names:
            try:
                value = usage.get(name) if isinstance(usage, dict) else getattr(usage, name, None)
            except Exception:  # noqa: BLE001
                value = None
            if value:
                return int(value)
        return 0

    counts["prompt_tokens"] = first("prompt_tokens", "input_tokens")
    counts["completion_tokens"] = first("completion_tokens", "output_tokens")
    counts["total_tokens"] = first("total_tokens")
    if not counts["total_tokens"]:
        counts["total_tokens"] = counts["prompt_tokens"] + counts["completion_tokens"]
    return counts


def total_token_count(resp):  # noqa: C901
    if resp is None:
        return 0
    for path in (
        ("usage", "total_tokens"),
        ("usage_metadata", "total_tokens"),
        ("meta", "billed_units", "input_tokens"),
    ):
        try:
            if has(resp, *path):
                found = resp
                for name in path:
                    found = getattr(found, name)
                return found
        except Exception:  # noqa: BLE001
            pass
    if isinstance(resp, dict):
        if "usage" in resp and "total_tokens" in resp["usage"]:
            return resp["usage"]["total_tokens"]
        if "usage" in resp and "input_tokens" in resp["usage"] and "output_tokens" in resp["usage"]:
            try:
                return resp["usage"]["input_tokens"] + resp["usage"]["output_tokens"]
            except Exception:  # noqa: BLE001
                pass
        if "meta" in resp and "tokens" in resp["meta"]:
            tokens = resp["meta"]["tokens"]
            if "input_tokens" in tokens and "output_tokens" in tokens:
                try:
                    return tokens["input_tokens"] + tokens["output_tokens"]
                except Exception:  # noqa: BLE001
                    pass
    return 0


def has(found, *path):
    for name in path:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def num_tokens(encoder, text):
    try:
        return len(encoder.encode(text))
    except Exception:  # noqa: BLE001
        return 0


def truncate(encoder, text, limit):
    return encoder.decode(encoder.encode(text)[:limit])
