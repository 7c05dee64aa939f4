import asyncio
import concurrent.futures
import contextvars
import subprocess
import sys
import threading

import pytest

import ragmeter


def spend():
    ragmeter.record_tokens(1, 0)


async def aspend():
    await asyncio.sleep(0)
    spend()


def test_outside_any_run_there_is_no_scope():
    assert ragmeter.current_scope() is None
    assert ragmeter.current_run() is None


def test_runs_nest_and_restore_what_was_before():
    with ragmeter.run("outer", tenant="acme") as outer:
        with ragmeter.run("inner", user="ann") as inner:
            assert ragmeter.current_run() == inner
            assert inner.outer == outer
            assert ragmeter.current_scope().labels == {"tenant": "acme", "user": "ann"}
            spend()
        assert ragmeter.current_run() == outer
        spend()
    assert (inner.calls, outer.calls) == (1, 2)
    assert ragmeter.current_scope() is None


def test_the_hosts_exception_passes_unchanged_and_the_run_ends():
    with pytest.raises(KeyError, match="mine"), ragmeter.run() as run:
        spend()
        raise KeyError("mine")
    assert run.calls == 1
    assert ragmeter.current_scope() is None


async def test_a_run_goes_along_with_tasks_gather_and_to_thread():
    async with ragmeter.run() as run:
        await asyncio.gather(aspend(), aspend(), asyncio.create_task(aspend()))
        await asyncio.to_thread(spend)
        late = asyncio.create_task(aspend())
    await late  # started inside the run: it pays, although the block has ended
    assert run.calls == 5


async def test_overlapping_runs_each_get_their_own_calls():
    async def work(count):
        async with ragmeter.run() as run:
            await asyncio.gather(*(aspend() for _ in range(count)))
        return run.calls

    async with ragmeter.run() as all_of_them:
        assert await asyncio.gather(*(work(count) for count in range(1, 51))) == list(range(1, 51))
    assert all_of_them.calls == sum(range(1, 51))


def test_a_bare_thread_needs_bind():
    with ragmeter.run() as run:
        for target in (spend, ragmeter.bind(spend)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            bound = ragmeter.bind(spend)
            for future in [pool.submit(bound) for _ in range(20)]:
                future.result()
    assert run.calls == 21


async def test_bind_knows_coroutines_and_generators_and_lends_the_scope_for_a_step_only():
    def generator():
        spend()
        got = yield 1
        spend()
        yield got
        return "end"

    async def async_generator():
        spend()
        got = yield 1
        spend()
        yield got

    with ragmeter.run() as run:
        coroutine, plain, asynchronous = map(ragmeter.bind, (aspend, generator, async_generator))
    await coroutine()
    steps = plain()
    assert [next(steps), steps.send("x")] == [1, "x"]
    assert ragmeter.current_scope() is None
    with pytest.raises(StopIteration, match="end"):
        next(steps)
    steps = asynchronous()
    assert [await steps.asend(None), await steps.asend("y")] == [1, "y"]
    assert ragmeter.current_scope() is None
    await steps.aclose()
    assert run.calls == 5


def test_bind_hands_exceptions_to_the_generator_and_closes_it():
    seen = []

    @ragmeter.bind
    def generator():
        try:
            while True:
                try:
                    yield "item"
                except ValueError as exc:
                    seen.append(exc)
        finally:
            seen.append("closed")

    steps = generator()
    assert next(steps) == "item"
    mine = ValueError("mine")
    assert steps.throw(mine) == "item"
    steps.close()
    assert seen == [mine, "closed"]


def test_bind_keeps_the_name_and_the_result():
    def name_of_mine(a, *, b):
        """Doc of mine."""
        return a, b

    bound = ragmeter.bind(name_of_mine)
    assert (bound.__name__, bound.__doc__, bound(1, b=2)) == ("name_of_mine", "Doc of mine.", (1, 2))


async def test_a_generator_closed_by_another_task_neither_raises_nor_leaks():
    runs = []

    async def stream():
        async with ragmeter.run() as run:
            runs.append(run)
            while True:
                spend()
                yield

    async def request():
        """What a web server does: the first task reads, another one closes when the client has left."""
        steps = stream()
        await steps.__anext__()
        await asyncio.create_task(steps.aclose())
        spend()  # later work of the same task: not the run's

    with ragmeter.run() as around:
        await asyncio.create_task(request())
    assert (runs[0].calls, around.calls) == (1, 2)


def test_runs_that_end_in_the_wrong_order_leave_nothing_set():
    first, second = ragmeter.run("first"), ragmeter.run("second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert ragmeter.current_scope() is None


def test_a_run_left_in_another_context_is_not_in_force_any_more():
    entered = ragmeter.run()
    context = contextvars.copy_context()
    run = context.run(entered.__enter__)
    entered.__exit__(None, None, None)
    context.run(spend)
    assert run.calls == 0


def test_a_carried_run_counts_in_the_same_run_of_this_process():
    with ragmeter.run("job", tenant="acme") as run:
        token = ragmeter.carry()
    assert token.isascii()
    assert " " not in token

    def worker():
        with ragmeter.resume(token) as resumed:
            assert resumed == run
            spend()

    thread = threading.Thread(target=worker)
    thread.start()
    thread.join()
    assert run.calls == 1


def test_a_carried_run_goes_on_in_another_process_under_its_id():
    with ragmeter.run("job", tenant="acme", document="d1") as run:
        token = ragmeter.carry()
    program = (
        "import sys, ragmeter\n"
        "with ragmeter.resume(sys.argv[1]) as run: ragmeter.record_tokens(2, 3)\n"
        "print(run.id, run.name, run.calls, list(run.by('tenant', 'document')))"
    )
    out = subprocess.run([sys.executable, "-c", program, token], capture_output=True, check=True, text=True).stdout
    assert out.strip() == f"{run.id} job 1 [('acme', 'd1')]"


def test_no_run_can_be_carried_too():
    with ragmeter.resume(ragmeter.carry()) as run:
        assert run is None
        assert ragmeter.current_run() is None


@pytest.mark.parametrize(
    "token", ["", "rm1.", "rm1.!!", "rm1.bnVsbA==", "eyJhIjoxfQ==", "rm1.eyJydW4iOiJ4In0=", 5, None]
)
def test_resume_refuses_what_carry_did_not_make(token):
    with pytest.raises(ValueError, match=r"resume\(\) takes the text that carry\(\) returned"):
        ragmeter.resume(token)


@pytest.mark.parametrize("opener", [ragmeter.run, ragmeter.label])
def test_a_label_that_does_not_exist_is_refused(opener):
    with pytest.raises(TypeError, match="there is no label 'colour'"):
        opener(colour="red")


def test_a_label_of_none_leaves_the_label_as_it_is():
    with ragmeter.run(tenant="acme"), ragmeter.run(tenant=None) as run:
        spend()
    assert list(run.by("tenant")) == ["acme"]
