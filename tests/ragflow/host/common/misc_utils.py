import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor


async def thread_pool_exec(function, *args):
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, context.run, function, *args)
