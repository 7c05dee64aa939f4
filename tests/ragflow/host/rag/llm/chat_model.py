"""Model objects: one shared `last_usage`, streams without a wish for usage, estimates of what was delivered."""

import asyncio
import json
import urllib.request

from openai import AsyncOpenAI

from common.token_utils import num_tokens_from_string, total_token_count_from_response, usage_from_response


def nothing():
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class Base:
    max_retries = 1
    max_rounds = 2

    def __init__(self, key, model_name, base_url, **kwargs):
        # Nobody closes the client, here as there; so it keeps no connection.
        headers = {"connection": "close"}
        self.async_client = AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, default_headers=headers)
        self.model_name = model_name
        self.is_tools = False
        self.last_usage = nothing()
        self.pause = None

    def bind_tools(self, session, tools):
        self.is_tools, self.toolcall_session, self.tools = True, session, tools

    def _messages(self, system, history):
        return [{"role": "system", "content": system}, *history]

    async def async_chat(self, system, history, gen_conf=None, **kwargs):
        for attempt in range(self.max_retries + 1):
            try:
                return await self._async_chat(self._messages(system, history))
            except Exception as exc:
                if attempt == self.max_retries:
                    return f"**ERROR**: {exc}", 0

    async def _async_chat(self, messages):
        if "qwq" in self.model_name:
            text, tokens = "", 0
            async for delta, count in self._stream(messages):
                text, tokens = text + delta, count
            return text, tokens
        response = await self.async_client.chat.completions.create(model=self.model_name, messages=messages)
        self.last_usage = usage_from_response(response)
        if self.pause:
            await self.pause()
        return response.choices[0].message.content, total_token_count_from_response(response)

    async def _stream(self, messages, **more):
        response = await self.async_client.chat.completions.create(
            model=self.model_name, messages=messages, stream=True, **more
        )
        async for chunk in response:
            if not chunk.choices:
                continue
            delta = chunk.choices[0].delta
            count = total_token_count_from_response(chunk) or num_tokens_from_string(delta.content or "")
            yield delta.content or "", count

    async def async_chat_streamly(self, system, history, gen_conf=None, **kwargs):
        total = 0
        self.last_usage = nothing()
        for attempt in range(self.max_retries + 1):
            try:
                async for delta, count in self._stream(self._messages(system, history)):
                    total += count
                    yield delta
                yield total
                return
            except Exception as exc:
                if attempt == self.max_retries:
                    yield f"**ERROR**: {exc}"
                    yield total
                    return

    async def async_chat_with_tools(self, system, history, gen_conf=None):
        """Ask, let the tools work, ask again, as often as `max_rounds`; then once more without tools."""
        sums, messages, answer = nothing(), self._messages(system, history), ""
        for round_ in range(self.max_rounds):
            response = await self.async_client.chat.completions.create(model=self.model_name, messages=messages)
            for name, count in usage_from_response(response).items():
                sums[name] += count
            self.last_usage = dict(sums)
            answer = response.choices[0].message.content
            calls = [self.toolcall_session.tool_call_async(name, {"round": round_}) for name in self.tools]
            results = await asyncio.gather(*calls)
            messages = [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": str(results)}]
        text, count = await self._async_chat(messages)
        noted = self.last_usage
        for name in sums:
            sums[name] += noted[name] or count
        self.last_usage = dict(sums)
        return answer + text, sums["total_tokens"]


class Plain:
    """A model behind an HTTP client that nobody observes; answers are dicts, as those of MWS or Jina."""

    def __init__(self, key, model_name, base_url, **kwargs):
        self.base_url, self.model_name, self.asks = base_url, model_name, True
        self.last_usage = nothing()

    def _request(self, path, **body):
        return json.load(self._open(path, body))

    def _open(self, path, body):
        data = json.dumps({"model": self.model_name, **body}).encode()
        headers = {"content-type": "application/json"}
        return urllib.request.urlopen(urllib.request.Request(f"{self.base_url}{path}", data, headers))

    async def async_chat(self, system, history, gen_conf=None, **kwargs):
        body = {"messages": [{"role": "system", "content": system}, *history]}
        payload = await asyncio.to_thread(self._request, "/chat/completions", **body)
        self.last_usage = usage_from_response(payload)
        return payload["choices"][0]["message"]["content"], total_token_count_from_response(payload)

    async def async_chat_streamly(self, system, history, gen_conf=None, **kwargs):
        self.last_usage = nothing()
        body = {"stream": True, "messages": [{"role": "system", "content": system}, *history]}
        if self.asks:
            body["stream_options"] = {"include_usage": True}
        total = 0
        with await asyncio.to_thread(self._open, "/chat/completions", body) as lines:
            while line := (await asyncio.to_thread(lines.readline)).decode():
                if not line.startswith("data:") or "[DONE]" in line:
                    continue
                chunk = json.loads(line[5:])
                usage = usage_from_response(chunk)
                if usage["total_tokens"]:
                    self.last_usage, total = usage, usage["total_tokens"]
                for choice in chunk["choices"]:
                    yield choice["delta"].get("content") or ""
        yield total

    def encode(self, texts):
        payload = self._request("/embeddings", input=texts)
        return [row["embedding"] for row in payload["data"]], total_token_count_from_response(payload)

    def encode_queries(self, text):
        rows, tokens = self.encode([text])
        return rows[0], tokens

    def similarity(self, query, texts):
        payload = self._request("/rerank", query=query, documents=texts)
        return [row["relevance_score"] for row in payload["results"]], total_token_count_from_response(payload)

    def describe(self, image):
        payload = self._request("/chat/completions", messages=[{"role": "user", "content": f"What is on {image}?"}])
        return payload["choices"][0]["message"]["content"], total_token_count_from_response(payload)

    def transcription(self, audio):
        payload = self._request("/chat/completions", messages=[{"role": "user", "content": f"Write down {audio}."}])
        return payload["choices"][0]["message"]["content"], total_token_count_from_response(payload)

    def tts(self, text):
        yield b"sound of "
        yield text.encode()
        yield num_tokens_from_string(text)
