class LLMToolPluginCallSession:
    def __init__(self, tools):
        self.tools_map = tools

    async def tool_call_async(self, name, arguments, request_timeout=10):
        return await self.tools_map[name](**arguments)
