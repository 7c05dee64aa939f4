"""A chat: tells Langfuse what it guesses the answer to cost, beside its bundle, in the same trace."""

from langfuse import Langfuse


async def async_chat(bundle, messages, **keys):
    tracer = Langfuse(**keys)
    trace = {"trace_id": tracer.create_trace_id()}
    bundle.trace_context = trace
    generation = tracer.start_observation(
        as_type="generation", trace_context=trace, name="chat", model="m", input={"messages": messages}
    )
    text = ""
    async for text in bundle.async_chat_streamly("Be brief.", messages):
        yield text
    generation.update(output=text, usage_details={"input": 1, "output": 2, "total": 3})
    generation.end()
