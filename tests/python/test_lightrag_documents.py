import ragmeter
from ragmeter.lightrag import documents
from ragmeter.lightrag.documents import Documents
from ragmeter.observe.patch import Patches


class Status:
    async def upsert(self, data):
        pass


class Rag:
    doc_status = Status()


async def test_documents_that_another_process_works_on_are_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr(documents, "_MOST_KNOWN", 3)
    rag, known, patches, over = Rag(), Documents(), Patches(), []
    known.plan(rag, patches)
    patches.apply()
    with ragmeter.run() as first:
        await rag.doc_status.upsert({"d0": {"status": "pending"}, "d1": {"status": "pending"}})
    known.when_over(first, lambda: over.append("first"))
    with ragmeter.run() as second:
        for name in ("d2", "d3"):
            await rag.doc_status.upsert({name: {"status": "pending"}})
            await rag.doc_status.upsert({name: {"status": "pending"}})  # told again, it is still one document
        assert (known.waiting(first), known.waiting(second), over) == (["d1"], ["d2", "d3"], [])
        await rag.doc_status.upsert({"d4": {"status": "pending"}})
    assert (known.waiting(first), known.waiting(second), over) == ([], ["d2", "d3", "d4"], ["first"])
    patches.undo()
