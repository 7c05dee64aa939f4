"""`@timeout`: sync functions run in a bare thread, async ones are tried again when they take too long."""

import asyncio
import functools
import queue
import threading


def timeout(seconds, attempts=2):
    def decorate(function):
        @functools.wraps(function)
        def in_a_thread(*args, **kwargs):
            results = queue.Queue(maxsize=1)

            def target():
                try:
                    results.put(function(*args, **kwargs))
                except Exception as exc:
                    results.put(exc)

            threading.Thread(target=target, daemon=True).start()
            result = results.get()
            if isinstance(result, Exception):
                raise result
            return result

        @functools.wraps(function)
        async def again(*args, **kwargs):
            for attempt in range(attempts):
                try:
                    return await asyncio.wait_for(function(*args, **kwargs), seconds)
                except asyncio.TimeoutError:
                    if attempt == attempts - 1:
                        raise

        return again if asyncio.iscoroutinefunction(function) else in_a_thread

    return decorate
