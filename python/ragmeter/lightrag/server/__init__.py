"""LightRAG's API server, unmodified: each answer says what it cost.

    middleware.py   makes each request a run
    answer.py       an answer on its way out
    pages.py        what each endpoint says
    uploads.py      hears when documents are done
    payers.py       who enqueued each document
    numbers.py      the metrics object
    document.py     the OpenAPI document, with metrics in it
    door.py         finds the application

Not here: how calls are followed through LightRAG (that is `ragmeter.lightrag.hooks`).
"""

from ragmeter.lightrag.server.door import instrument_server, uninstrument_server

__all__ = ["instrument_server", "uninstrument_server"]
