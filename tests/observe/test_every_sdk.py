"""What holds for every observer: the real SDK over HTTP, against the bills of the stub server."""

import asyncio
import contextlib
import gc

import pytest

import ragmeter
from ragmeter.testing import BAD_USAGES, Fault

from .sdks import SDKS

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # clients of streams that are left stay open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # google.genai's
]

CALLS = ("chat", "stream", "embed", "achat", "astream", "aembed")
EVERY = [(sdk, call) for sdk in SDKS for call in CALLS if getattr(sdk, call) is not None]
STREAMS = [(sdk, call) for sdk, call in EVERY if "stream" in call]


def of(pairs):
    return pytest.mark.parametrize(("kind", "call"), pairs, ids=[f"{sdk.name}-{call}" for sdk, call in pairs])


@pytest.fixture
def sdk(kind, server):
    ragmeter.instrument(kind.name)
    return kind(server)


async def make(sdk, call):
    """Make a call and read its answer to the end."""
    answer = getattr(sdk, call)()
    if call.startswith("a"):
        answer = await answer
    return await drain(answer, call)


async def drain(stream, call):
    if call == "stream":
        return list(stream)
    if call == "astream":
        return [piece async for piece in stream]
    return stream


@of(EVERY)
async def test_a_quota_is_asked_before_and_settled_after(sdk, call, server, tmp_path):
    quota = ragmeter.Quota.open(f"sqlite:{tmp_path}/quota.db")
    quota.limit("acme", tokens=100_000, tenant="acme")
    async with ragmeter.run(tenant="acme", quota=quota) as run:
        await make(sdk, call)
        billed = sum(bill.total_tokens for bill in server.bills)
        (standing,) = quota.usage(tenant="acme")
        assert (standing["used"], standing["reserved"]) == (run.usage.total_tokens, 0) == (billed, 0)
        quota.limit("acme", tokens=billed, tenant="acme")
        with pytest.raises(ragmeter.QuotaExceeded):
            await make(sdk, call)
    assert sum(bill.total_tokens for bill in server.bills) == billed, "no request has left"
    assert run.calls == 1


async def leave_after(stream, call, pieces):
    """Read some pieces and go away as `break` does."""
    if call == "stream":
        reading = iter(stream)
        for _ in range(pieces):
            next(reading)
    else:
        reading = aiter(stream)
        for _ in range(pieces):
            await anext(reading)
        await reading.aclose() if hasattr(reading, "aclose") else None
    close = getattr(stream, "close", None)
    if close is not None and asyncio.iscoroutine(closing := close()):
        await closing
    del reading, stream
    await settle()


async def settle():
    """Let the loop close the generators that were dropped."""
    for _ in range(5):
        await asyncio.sleep(0)


def counts_of(bills):
    return len(bills), sum(bill.prompt_tokens for bill in bills), sum(bill.completion_tokens for bill in bills)


def assert_exact(run, server):
    assert (run.calls, run.usage.input_tokens or 0, run.usage.output_tokens or 0) == counts_of(server.bills)
    assert run.calls == run.totals.reported_calls > 0


def near(estimated, billed):
    """The stub has a rule of its own for what a token is; an estimate must be of its order, not its value."""
    return billed / 3 < estimated < billed * 3


@of(EVERY)
async def test_a_call_costs_what_was_billed(sdk, call, server):
    async with ragmeter.run(keep_calls=9) as run:
        await make(sdk, call)
    assert_exact(run, server)
    (record,) = run.calls_list()
    assert record.labels["operation"] == ("embeddings" if "embed" in call else "chat")
    assert record.labels["model"] == server.bills[0].model


@of(EVERY)
async def test_what_the_user_gets_is_what_an_unobserved_sdk_gives(kind, call, server):
    bare = strip(await make(kind(server), call))
    ragmeter.instrument(kind.name)
    server.reset()
    assert strip(await make(kind(server), call)) == bare


def strip(answer):
    """An answer without what differs from one to the next."""
    if isinstance(answer, list):
        return [strip(piece) for piece in answer]
    if hasattr(answer, "model_dump"):
        answer = answer.model_dump()
    if hasattr(answer, "embeddings"):
        return type(answer).__name__, answer.embeddings
    if isinstance(answer, bytes):
        return answer.split(b'"choices"')[-1]
    if isinstance(answer, dict):
        changing = ("id", "created", "response_id", "request_id", "headers", "ResponseMetadata", "sdk_http_response")
        return {name: strip(value) for name, value in answer.items() if name not in changing}
    return answer


@of(EVERY)
async def test_an_answer_without_usage_is_estimated(sdk, call, server):
    server.faults.add(Fault.NO_USAGE)
    async with ragmeter.run() as run:
        with contextlib.suppress(AttributeError if sdk.name == "voyageai" else ()):  # it cannot do without itself
            await make(sdk, call)
    (bill,) = server.bills
    assert (run.calls, run.usage.origin) == (1, "estimated")
    assert near(run.usage.input_tokens, bill.prompt_tokens)
    if bill.completion_tokens:
        assert near(run.usage.output_tokens, bill.completion_tokens - bill.reasoning_tokens)
    else:
        assert run.usage.output_tokens == 0


@of(EVERY)
@pytest.mark.parametrize("name", ["text", "nested"])
async def test_usage_that_is_no_usage_never_reaches_the_host(sdk, call, server, name):
    server.faults.add(Fault.BAD_USAGE, usage=BAD_USAGES[name])
    async with ragmeter.run() as run:
        with contextlib.suppress(AttributeError, TypeError, ValueError):  # the SDK itself does not take it
            await make(sdk, call)
    if call == "astream":
        gc.collect()  # the error holds the generator that it broke off
        await settle()
    assert run.calls == 1
    assert run.usage.origin in {"estimated", "unknown"} or run.usage.flags or name == "nested"


@of([pair for pair in EVERY if "embed" not in pair[1]])
@pytest.mark.parametrize("fault", [Fault.EMPTY, Fault.TRUNCATED])
async def test_empty_and_truncated_answers_cost_what_they_cost(sdk, call, server, fault):
    server.faults.add(fault)
    async with ragmeter.run() as run:
        await make(sdk, call)
    assert_exact(run, server)


@of([pair for pair in EVERY if not pair[0].retries])
@pytest.mark.parametrize("fault", [Fault.RATE_LIMIT, Fault.SERVER_ERROR])
async def test_what_a_server_refuses_costs_nothing(sdk, call, server, fault):
    server.faults.add(fault, times=None)
    async with ragmeter.run() as run:
        with pytest.raises(Exception):  # noqa: B017, PT011 - each SDK has its own
            await make(sdk, call)
    assert (run.calls, server.bills) == (0, [])


@of([pair for pair in EVERY if not pair[0].retries])
async def test_what_a_server_refuses_gives_back_what_was_reserved(sdk, call, server, tmp_path):
    quota = ragmeter.Quota.open(f"sqlite:{tmp_path}/ledger.db", output_tokens=100)
    quota.limit("acme", tokens=100_000, tenant="acme")
    server.faults.add(Fault.SERVER_ERROR, times=None)
    async with ragmeter.run(quota=quota, tenant="acme"):
        with pytest.raises(Exception):  # noqa: B017, PT011
            await make(sdk, call)
    assert quota.flush()
    (standing,) = quota.usage(tenant="acme")
    assert (standing["used"], standing["reserved"]) == (0, 0)


@of([pair for pair in EVERY if pair[0].retries])
async def test_a_refused_attempt_costs_nothing_and_its_retry_counts(sdk, call, server):
    server.faults.add(Fault.SERVER_ERROR)
    async with ragmeter.run() as run:
        await make(sdk, call)
    assert len(server.refused) == 1
    assert_exact(run, server)


@of([pair for pair in EVERY if "stream" not in pair[1]])
async def test_an_answer_that_is_cut_is_never_a_silent_zero(sdk, call, server):
    server.faults.add(Fault.CUT, times=None if not sdk.retries else 1)
    async with ragmeter.run() as run:
        with contextlib.suppress(Exception):
            await make(sdk, call)
    assert run.calls == len(server.bills) > 0
    if sdk.name.endswith("boto3") and "embed" in call:  # the headers have said it before the body broke off
        assert_exact(run, server)
    else:
        lost = run.totals.unknown_calls + run.totals.estimated_calls
        assert lost == (1 if sdk.retries else run.calls)


@of(STREAMS)
async def test_a_stream_that_is_cut_is_estimated(sdk, call, server):
    server.faults.add(Fault.CUT, after=5)
    async with ragmeter.run() as run:
        with pytest.raises(Exception):  # noqa: B017, PT011
            await make(sdk, call)
    assert (run.calls, run.usage.origin) == (1, "estimated")
    assert 0 < run.usage.output_tokens <= server.bills[0].completion_tokens


@of(STREAMS)
async def test_a_stream_that_the_user_leaves_is_estimated(sdk, call, server):
    async with ragmeter.run() as run:
        stream = getattr(sdk, call)()
        stream = await stream if call == "astream" else stream
        await leave_after(stream, call, 4)
        del stream
        gc.collect()
    assert (run.calls, run.usage.origin) == (1, "estimated")
    assert near(run.usage.input_tokens, server.bills[0].prompt_tokens)
    assert 0 < run.usage.output_tokens < server.bills[0].completion_tokens


@of(STREAMS)
async def test_a_stream_is_paid_by_the_run_that_asked_for_it(sdk, call, server):
    async with ragmeter.run() as asked:
        stream = getattr(sdk, call)()
        stream = await stream if call == "astream" else stream
    async with ragmeter.run() as reading:
        await drain(stream, call)
    if sdk.name in {"aiohttp", "google.genai"}:  # they ask when they are read
        asked, reading = reading, asked
    assert reading.calls == 0
    assert_exact(asked, server)


@of([pair for pair in EVERY if pair[1] in {"achat", "astream"}])
async def test_eight_at_once_each_in_its_own_run(sdk, call, server):
    async def ask():
        async with ragmeter.run() as run:
            await make(sdk, call)
        return run

    runs = await asyncio.gather(*(ask() for _ in range(8)))
    (first, *_) = server.bills
    for run in runs:
        assert (run.calls, run.usage.input_tokens, run.usage.output_tokens) == (
            1, first.prompt_tokens, first.completion_tokens,
        )  # fmt: skip


@pytest.mark.parametrize("kind", SDKS, ids=[sdk.name for sdk in SDKS])
def test_uninstrument_puts_back_the_very_objects(kind, server):
    places = kind(server).places()
    before = [dict(vars(place)) for place in places]
    ragmeter.instrument(kind.name)
    ragmeter.instrument(kind.name)
    changed = [
        name for place, own in zip(places, before, strict=True) for name in own if vars(place)[name] is not own[name]
    ]
    assert changed
    ragmeter.uninstrument(kind.name)
    for place, own in zip(places, before, strict=True):
        assert set(vars(place)) == set(own)
        assert all(vars(place)[name] is own[name] for name in own)
    assert ragmeter.instrumented() == frozenset()


@pytest.mark.parametrize("kind", SDKS, ids=[sdk.name for sdk in SDKS])
def test_a_release_without_the_place_is_refused_loudly(kind, server, monkeypatch):
    place = kind(server).places()[0]
    names = {"request", "_request", "_make_api_call", "async_request", "call"} & set(vars(place))
    for name in names:
        monkeypatch.delattr(place, name)
    with pytest.raises(ImportError, match="ragmeter cannot observe this release"):
        ragmeter.instrument(kind.name)
    assert ragmeter.instrumented() == frozenset()
