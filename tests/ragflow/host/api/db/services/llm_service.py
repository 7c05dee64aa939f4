"""The bundle: what every part of the host calls models through."""

import asyncio
import queue
import threading

from common.token_utils import langfuse_run_attrs, record_run_token_usage


class LLMBundle:
    def __init__(self, tenant_id, model_config, mdl, langfuse=None):
        self.tenant_id, self.model_config, self.mdl, self.langfuse = tenant_id, model_config, mdl, langfuse
        self.trace_context = {}
        self.is_tools = False

    def bind_tools(self, session, tools):
        self.is_tools = True
        self.mdl.bind_tools(session, tools)

    def _start_langfuse_observation(self, **kwargs):
        attrs = dict(langfuse_run_attrs.get() or {})
        if attrs:
            from langfuse import propagate_attributes

            with propagate_attributes(**attrs):
                return self.langfuse.start_observation(**kwargs)
        return self.langfuse.start_observation(**kwargs)

    def _generation(self, name):
        if self.langfuse:
            return self._start_langfuse_observation(
                trace_context=self.trace_context, as_type="generation", name=name, model=self.model_config["llm_name"]
            )

    def _report_usage(self, total):
        split = getattr(self.mdl, "last_usage", None) or {}
        prompt, completion = split.get("prompt_tokens", 0), split.get("completion_tokens", 0)
        if not total:
            total = split.get("total_tokens", 0)
        if prompt + completion != total:
            prompt = completion = 0
        record_run_token_usage(prompt, completion, total)
        return {"input": prompt, "output": completion, "total": total}

    def _measured(self, name, function, *args):
        generation = self._generation(name)
        result, used = function(*args)
        if generation:
            generation.update(usage_details={"total_tokens": used})
            generation.end()
        return result, used

    def encode(self, texts):
        return self._measured("encode", self.mdl.encode, texts)

    def encode_queries(self, query):
        return self._measured("encode_queries", self.mdl.encode_queries, query)

    def similarity(self, query, texts):
        return self._measured("similarity", self.mdl.similarity, query, texts)

    def describe(self, image, max_tokens=300):
        return self._measured("describe", self.mdl.describe, image)[0]

    def transcription(self, audio):
        return self._measured("transcription", self.mdl.transcription, audio)[0]

    def tts(self, text):
        generation = self._generation("tts")
        for chunk in self.mdl.tts(text):
            if isinstance(chunk, int):
                return
            yield chunk
        if generation:
            generation.end()

    async def async_chat(self, system, history, gen_conf={}, **kwargs):
        ask = self.mdl.async_chat_with_tools if self.is_tools else self.mdl.async_chat
        generation = self._generation("chat")
        self.mdl.last_usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        text, used = await ask(system, history, gen_conf)
        details = self._report_usage(used)
        if generation:
            generation.update(output={"output": text}, usage_details=details)
            generation.end()
        return text

    async def async_chat_streamly(self, system, history, gen_conf={}, **kwargs):
        answer = ""
        async for piece in self._pieces("chat_streamly", system, history, gen_conf, **kwargs):
            answer += piece
            yield answer

    async def async_chat_streamly_delta(self, system, history, gen_conf={}, **kwargs):
        async for piece in self._pieces("chat_streamly", system, history, gen_conf, **kwargs):
            yield piece

    async def _pieces(self, name, system, history, gen_conf, **kwargs):
        generation = self._generation(name)
        self.mdl.last_usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        total, answer = 0, ""
        try:
            async for piece in self.mdl.async_chat_streamly(system, history, gen_conf, **kwargs):
                if isinstance(piece, int):
                    total = piece
                    break
                answer += piece
                yield piece
        except Exception as exc:
            if generation:
                generation.update(output={"error": str(exc)})
                generation.end()
            raise
        details = self._report_usage(total)
        if generation:
            generation.update(output={"output": answer}, usage_details=details)
            generation.end()

    def _run_coroutine_sync(self, coroutine):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(coroutine)
        results = queue.Queue()
        thread = threading.Thread(target=lambda: results.put(asyncio.run(coroutine)), daemon=True)
        thread.start()
        thread.join()
        return results.get()

    def _sync_from_async_stream(self, function, *args):
        results = queue.Queue()

        def runner():
            async def consume():
                async for item in function(*args):
                    results.put(item)
                results.put(StopIteration)

            asyncio.run(consume())

        threading.Thread(target=runner, daemon=True).start()
        while (item := results.get()) is not StopIteration:
            yield item
