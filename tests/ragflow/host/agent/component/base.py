from common.misc_utils import thread_pool_exec


class ComponentBase:
    def __init__(self, canvas, id_, work=None, bundle=None):
        self._canvas, self._id, self.work, self.chat_mdl = canvas, id_, work, bundle
        self.tools = {}
        self.error = None

    def invoke(self, **kwargs):
        return self.work(self)

    async def invoke_async(self, **kwargs):
        return await self.work(self)

    async def in_a_thread(self):
        return await thread_pool_exec(self.invoke)
