"""The canvas: runs components one after the other, as an async generator of events."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor

from common.token_utils import langfuse_run_attrs, token_usage_sink


class Canvas:
    def __init__(self, components, tenant_id=None, task_id=None, canvas_id=None):
        self._id, self._tenant_id, self.task_id, self.message_id = canvas_id, tenant_id, task_id or "t", "m"
        self.components = {name: {"obj": component} for name, component in components.items()}
        self.pool = ThreadPoolExecutor(max_workers=2)

    async def run(self, **kwargs):
        self._run_token_usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "calls": 0}
        session = kwargs.get("session_id") or self._id
        sink_token = token_usage_sink.set(self._run_token_usage)
        attrs_token = langfuse_run_attrs.set({"user_id": kwargs.get("user_id"), "session_id": session})
        try:
            async for event in self._events():
                yield event
        finally:
            for variable, token in ((token_usage_sink, sink_token), (langfuse_run_attrs, attrs_token)):
                try:
                    variable.reset(token)
                except ValueError:
                    variable.set(None)

    async def _events(self):
        yield {"event": "workflow_started", "data": {}}
        failed = False
        for name, item in self.components.items():
            component = item["obj"]
            yield {"event": "node_started", "data": {"component_id": name}}
            result = None
            try:
                if asyncio.iscoroutinefunction(component.work):
                    result = await component.invoke_async()
                else:
                    result = await component.in_a_thread()
            except Exception as exc:
                yield {"event": "node_finished", "data": {"component_id": name, "error": str(exc)}}
                failed = True
                continue
            if failed:  # the others of its batch are ended, then the run is
                yield {"event": "node_finished", "data": {"component_id": name, "error": None}}
                continue
            if inspect.isasyncgen(result):
                async for piece in result:
                    yield {"event": "message", "data": {"content": piece}}
                yield {"event": "message_end", "data": {}}
            if result == "cancel":
                raise RuntimeError("Task t has been canceled")
            if result == "ask the user":
                yield {"event": "user_inputs", "data": {"inputs": {}}}
                return
            yield {"event": "node_finished", "data": {"component_id": name, "error": None}}
        if not failed:
            yield {"event": "workflow_finished", "data": {"usage": dict(self._run_token_usage)}}
