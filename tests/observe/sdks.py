"""Each SDK behind the same few calls, the real one over HTTP against the stub server."""

import contextlib
import functools
import json

TEXT = "Tell me of Scrooge, of Marley and of the counting-house. MARK-1"
SYSTEM = "Speak as Dickens would."
TEXTS = ["the counting-house", "of Scrooge and Marley"]
MESSAGES = [{"role": "user", "content": TEXT}]


class Sdk:
    """One SDK. A call that it does not have is None."""

    name = ""
    retries = False
    """Whether it tries again by itself, and can be told to."""
    chat = stream = embed = achat = astream = aembed = None

    def __init__(self, server):
        self.url = server.url

    def places(self):
        """The objects that the observer changes."""
        raise NotImplementedError


class Ollama(Sdk):
    name = "ollama"

    def _client(self):
        import ollama

        return ollama.Client(host=self.url)

    def _aclient(self):
        import ollama

        return ollama.AsyncClient(host=self.url)

    def places(self):
        import ollama

        return ollama.Client, ollama.AsyncClient

    def chat(self):
        return self._client().chat(model="llama3", messages=[{"role": "system", "content": SYSTEM}, *MESSAGES])

    def stream(self):
        return self._client().chat(model="llama3", messages=MESSAGES, stream=True)

    def embed(self):
        return self._client().embed(model="bge-m3", input=TEXTS)

    async def achat(self):
        return await self._aclient().generate(model="llama3", prompt=TEXT, system=SYSTEM)

    async def astream(self):
        return await self._aclient().generate(model="llama3", prompt=TEXT, stream=True)

    async def aembed(self):
        return await self._aclient().embed(model="bge-m3", input=TEXTS[0])


class Gemini(Sdk):
    name = "google.genai"

    def __init__(self, server):
        super().__init__(server)
        from google import genai

        self._own = genai.Client(api_key="any", http_options={"base_url": self.url})

    def places(self):
        from google.genai._api_client import BaseApiClient

        return (BaseApiClient,)

    def chat(self):
        config = {"system_instruction": SYSTEM}
        return self._own.models.generate_content(model="gemini-2.5-flash", contents=TEXT, config=config)

    def stream(self):
        return self._own.models.generate_content_stream(model="gemini-2.5-flash", contents=TEXT)

    def embed(self):
        return self._own.models.embed_content(model="gemini-embedding-001", contents=TEXTS)

    async def achat(self):
        return await self._own.aio.models.generate_content(model="gemini-2.5-flash", contents=TEXT)

    async def astream(self):
        return await self._own.aio.models.generate_content_stream(model="gemini-2.5-flash", contents=TEXT)

    async def aembed(self):
        return await self._own.aio.models.embed_content(model="gemini-embedding-001", contents=TEXTS)


CLAUDE = {"model": "claude-haiku-4-5", "max_tokens": 1000, "messages": MESSAGES}


class Anthropic(Sdk):
    name = "anthropic"
    retries = True

    def _client(self):
        import anthropic

        return anthropic.Anthropic(base_url=self.url, api_key="any")

    def _aclient(self):
        import anthropic

        return anthropic.AsyncAnthropic(base_url=self.url, api_key="any")

    def places(self):
        from anthropic._base_client import AsyncAPIClient, SyncAPIClient

        return SyncAPIClient, AsyncAPIClient

    def chat(self):
        with self._client() as client:
            return client.messages.create(system=SYSTEM, **CLAUDE)

    def stream(self):
        return self._client().messages.create(stream=True, **CLAUDE)

    async def achat(self):
        async with self._aclient() as client:
            return await client.messages.create(**CLAUDE)

    async def astream(self):
        return await self._aclient().messages.create(stream=True, **CLAUDE)


ACCESS = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
CONVERSE = {
    "modelId": "us.anthropic.claude-haiku-4-5-v1:0",
    "messages": [{"role": "user", "content": [{"text": TEXT}]}],
}
TITAN = {"modelId": "amazon.titan-embed-text-v2:0", "body": json.dumps({"inputText": TEXTS[0]})}


class Boto3(Sdk):
    name = "boto3"
    retries = True

    def __init__(self, server):
        super().__init__(server)
        import boto3

        self._own = boto3.client("bedrock-runtime", endpoint_url=self.url, **ACCESS)

    def places(self):
        from botocore.client import BaseClient
        from botocore.endpoint import Endpoint

        return BaseClient, Endpoint

    def chat(self):
        return self._own.converse(system=[{"text": SYSTEM}], **CONVERSE)

    def stream(self):
        return self._own.converse_stream(**CONVERSE)["stream"]

    def embed(self):
        return json.load(self._own.invoke_model(**TITAN)["body"])


@functools.cache
def session():
    """It reads the descriptions of all of Amazon's services, once."""
    import aioboto3

    return aioboto3.Session()


class Aioboto3(Sdk):
    name = "aioboto3"
    retries = True

    def places(self):
        from aiobotocore.client import AioBaseClient
        from aiobotocore.endpoint import AioEndpoint

        return AioBaseClient, AioEndpoint

    def client(self):
        return session().client("bedrock-runtime", endpoint_url=self.url, **ACCESS)

    async def achat(self):
        async with self.client() as client:
            return await client.converse(system=[{"text": SYSTEM}], **CONVERSE)

    async def astream(self):
        self._open = contextlib.AsyncExitStack()
        client = await self._open.enter_async_context(self.client())
        return (await client.converse_stream(**CONVERSE))["stream"]

    async def aembed(self):
        async with self.client() as client:
            return await (await client.invoke_model(**TITAN))["body"].json()


class Voyage(Sdk):
    name = "voyageai"

    def places(self):
        from voyageai.api_resources.api_requestor import APIRequestor

        return (APIRequestor,)

    def _options(self):
        return {"api_key": "any", "base_url": f"{self.url}/voyage/v1", "max_retries": 3}

    def embed(self):
        import voyageai

        return voyageai.Client(**self._options()).embed(TEXTS, model="voyage-3")

    async def aembed(self):
        import voyageai

        return await voyageai.AsyncClient(**self._options()).embed(TEXTS, model="voyage-3")


class Zhipu(Sdk):
    name = "zhipuai"
    retries = True

    def __init__(self, server):
        super().__init__(server)
        from zhipuai import ZhipuAI

        self._own = ZhipuAI(api_key="any.key", base_url=f"{self.url}/api/paas/v4")

    def places(self):
        from zhipuai.core._http_client import HttpClient

        return (HttpClient,)

    def chat(self):
        return self._own.chat.completions.create(model="glm-4", messages=MESSAGES)

    def stream(self):
        return self._own.chat.completions.create(model="glm-4", messages=MESSAGES, stream=True)

    def embed(self):
        return self._own.embeddings.create(model="embedding-3", input=TEXTS)


class DashScope(Sdk):
    name = "dashscope"

    def _options(self, **more):
        return {"model": "qwen-plus", "api_key": "any", "base_address": f"{self.url}/api/v1", **more}

    def places(self):
        from dashscope.api_entities.http_request import HttpRequest

        return (HttpRequest,)

    @staticmethod
    def _well(answer):
        """The SDK returns what others raise."""
        if answer.status_code != 200:
            raise RuntimeError(answer.message)
        return answer

    def chat(self):
        from dashscope import MultiModalConversation

        messages = [{"role": "user", "content": [{"text": SYSTEM}, {"text": TEXT}]}]
        return self._well(MultiModalConversation.call(messages=messages, **self._options()))

    def stream(self):
        from dashscope import Generation

        options = self._options(result_format="message", incremental_output=True)
        return map(self._well, Generation.call(messages=MESSAGES, stream=True, **options))

    def embed(self):
        from dashscope import TextEmbedding

        return self._well(TextEmbedding.call(input=TEXTS, **self._options(model="text-embedding-v4")))

    async def achat(self):
        from dashscope import AioGeneration

        return self._well(await AioGeneration.call(prompt=TEXT, **self._options()))

    async def astream(self):
        from dashscope import AioGeneration

        return self._checked(await AioGeneration.call(messages=MESSAGES, stream=True, **self._options()))

    async def _checked(self, pieces):
        async for piece in pieces:
            yield self._well(piece)


class Aiohttp(Sdk):
    name = "aiohttp"

    def places(self):
        import aiohttp

        return (aiohttp.ClientSession,)

    async def _post(self, path, body):
        import aiohttp

        async with aiohttp.ClientSession() as session, session.post(self.url + path, json=body) as response:
            response.raise_for_status()
            return await response.json()

    async def achat(self):
        return await self._post("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": MESSAGES})

    async def astream(self):
        options = {"include_usage": True}
        return self._stream({"model": "gpt-4o", "messages": MESSAGES, "stream": True, "stream_options": options})

    async def _stream(self, body):
        import aiohttp

        async with aiohttp.ClientSession(self.url) as session:
            async with session.post("/v1/chat/completions", json=body) as response:
                response.raise_for_status()
                async for line in response.content:
                    yield line

    async def aembed(self):
        return await self._post("/v1/embeddings", {"model": "jina-embeddings-v4", "input": TEXTS})


SDKS = (Ollama, Gemini, Anthropic, Boto3, Aioboto3, Voyage, Zhipu, DashScope, Aiohttp)
