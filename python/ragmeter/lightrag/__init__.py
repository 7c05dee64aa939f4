"""The LightRAG door: what an ingest, a document, a question cost, with LightRAG and your code as they are.

    from ragmeter.lightrag import TokenTrackingLightRAG

    rag = TokenTrackingLightRAG(rag)
    await rag.ainsert(text)
    print(rag.get_token_tracker().get_usage())

Not here: what the provider's answers mean (the observers see those).
"""

from ragmeter.lightrag.metering import install, uninstall
from ragmeter.lightrag.server import instrument_server, uninstrument_server
from ragmeter.lightrag.tracker import TokenTracker
from ragmeter.lightrag.wrapper import TokenTrackingLightRAG, create_tracked_lightrag, track_lightrag_operations

__all__ = [
    "TokenTracker",
    "TokenTrackingLightRAG",
    "create_tracked_lightrag",
    "install",
    "instrument_server",
    "track_lightrag_operations",
    "uninstall",
    "uninstrument_server",
]
