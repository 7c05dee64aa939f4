"""The OpenAI-compatible endpoint of agents, whose usage is a guess."""

import json


async def completion_openai(canvas, question, stream=True):
    guess = {"prompt_tokens": len(question), "completion_tokens": 1, "total_tokens": len(question) + 1}
    text = ""
    async for event in canvas.run(query=question):
        if event["event"] == "message":
            text += event["data"]["content"]
        if stream and event["event"] in ("message", "message_end"):
            body = {"choices": [{"delta": {"content": event["data"].get("content", "")}}], "usage": guess}
            yield "data: " + json.dumps(body) + "\n\n"
    if stream:
        yield "data: [DONE]\n\n"
    else:
        yield {"choices": [{"message": {"content": text}}], "usage": guess}
