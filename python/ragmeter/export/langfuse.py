"""Langfuse: every recorded call becomes a generation there, with usage that Langfuse adds up as we do.

Needs the Langfuse SDK, release 3 or newer: `pip install ragmeter[langfuse]`. It sends in the background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragmeter import Call

__all__ = ["LangfuseExporter"]

_LONGEST = 200
"""Characters that Langfuse keeps of a session, a user or a value of metadata; longer ones are dropped whole."""


class LangfuseExporter:
    """Sends calls to Langfuse; a listener for `ragmeter.run(listeners=[exporter])`.

    The calls of one run share a trace. `session` and `user` of a call become those of its generation, the other labels
    its metadata. The usage goes in buckets that do not overlap (`input` without what was cached, …) and their `total`.
    Where nobody knows the counts none are sent, and the metadata say so. For RAGFlow there is no need of it: its own
    generations carry the same once `ragmeter.ragflow.install(runs=True)` is called.

    Args:
        client: A `langfuse.Langfuse`; None takes the one that the environment describes (`LANGFUSE_PUBLIC_KEY`, …).

    Raises:
        ImportError: The SDK is not installed, or older than release 3.

    Example:
        >>> import ragmeter
        >>> from ragmeter.export.langfuse import LangfuseExporter
        >>> exporter = LangfuseExporter()  # doctest: +SKIP
        >>> with ragmeter.run("question 17", session="s1", listeners=[exporter]):  # doctest: +SKIP
        ...     ragmeter.record_tokens(12, 3, "gpt-5")
        >>> exporter.flush()  # doctest: +SKIP
    """

    def __init__(self, client: Any = None) -> None:
        import langfuse

        if client is None:
            client = langfuse.get_client()
        if not hasattr(client, "start_observation") or not hasattr(langfuse, "propagate_attributes"):
            msg = "the export needs langfuse 3.9 or newer: its start_observation and propagate_attributes"
            raise ImportError(msg)
        self._client = client
        self._propagate = langfuse.propagate_attributes

    def __call__(self, call: Call) -> None:
        """Send one call."""
        labels = dict(call.labels)
        operation = labels.pop("operation", None)
        about: dict[str, Any] = {name: labels.pop(label)[:_LONGEST] for name, label in _ATTRIBUTES if label in labels}
        model = labels.pop("model", None)
        more = {"origin": call.usage.origin, "call": call.id, "attempt": str(call.attempt), **labels}
        with self._propagate(**about):
            generation = self._client.start_observation(
                trace_context=self._trace(call),
                as_type="embedding" if operation == "embeddings" else "generation",
                name=operation or "call",
                model=model,
                usage_details=call.usage.langfuse_details() or None,
                metadata=more,
            )
            generation.end()

    def flush(self) -> None:
        """Send what waits, and wait for it."""
        self._client.flush()

    def _trace(self, call: Call) -> dict[str, str] | None:
        return {"trace_id": self._client.create_trace_id(seed=call.run)} if call.run else None


_ATTRIBUTES = (("session_id", "session"), ("user_id", "user"))
