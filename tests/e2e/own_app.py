"""An application of somebody's own with LightRAG's routers in it, metered by one line."""

import os
import sys
from contextlib import asynccontextmanager

_, _, host, _, port = sys.argv  # own_app.py --host HOST --port PORT
sys.argv = sys.argv[:1]  # LightRAG reads them too

import lightrag.api.lightrag_server as server_module  # noqa: E402
import uvicorn  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from lightrag import LightRAG  # noqa: E402
from lightrag.api.routers.document_routes import DocumentManager, create_document_routes  # noqa: E402
from lightrag.api.routers.query_routes import create_query_routes  # noqa: E402

from ragmeter.commands.demo import make_lightrag  # noqa: E402
from ragmeter.lightrag import instrument_server, uninstrument_server  # noqa: E402

before = dict(vars(server_module))
instrument_server()
assert server_module.create_app is not before["create_app"]
uninstrument_server()
assert all(vars(server_module)[name] is value for name, value in before.items())

os.makedirs(os.environ["WORKING_DIR"])  # noqa: PTH103
rag = make_lightrag(os.environ["WORKING_DIR"], os.environ["LLM_BINDING_HOST"], "any", 64)
assert type(rag) is LightRAG


@asynccontextmanager
async def lifespan(_):
    app.state.background_tasks = set()
    await rag.initialize_storages()
    yield
    await rag.finalize_storages()


app = FastAPI(lifespan=lifespan)
app.include_router(create_query_routes(rag))
app.include_router(create_document_routes(rag, DocumentManager(os.environ["INPUT_DIR"])))


@app.get("/health")
def health():
    return {"status": "healthy"}


plain = app.openapi()
instrument_server(app, rag, headers={"tenant": "X-Customer"})
assert app.openapi() != plain
uninstrument_server()  # the application stays metered, only its OpenAPI document is its own again
assert "openapi" not in vars(app)
assert app.openapi() is plain
uvicorn.run(app, host=host, port=int(port))
