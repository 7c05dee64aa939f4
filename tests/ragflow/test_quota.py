"""Quotas around calls of RAGFlow."""

import pytest

import ragmeter

from .kit import chat, history


async def gather_text(stream):
    return [piece async for piece in stream]


async def test_a_quota_stops_every_kind_of_call_in_ragflows_own_words(kit, tmp_path):
    quota = ragmeter.Quota.open(f"sqlite:{tmp_path}/ledger.db", output_tokens=100)
    quota.limit("acme", tokens=100_000, tenant="acme")
    plain, observed = kit.bundle(kit.model("Plain")), kit.bundle()
    with ragmeter.run(quota=quota) as run:
        for bundle in (plain, observed):
            await chat(bundle)
            await gather_text(bundle.async_chat_streamly("Be brief.", history()))
        plain.encode(["Marley was dead."])
    prompt, completion, calls = kit.billed()
    assert (run.calls, run.usage.total_tokens) == (calls, prompt + completion)
    (standing,) = quota.usage(tenant="acme")
    assert (standing["used"], standing["reserved"]) == (prompt + completion, 0)

    quota.limit("acme", tokens=prompt + completion, tenant="acme")
    with ragmeter.run(quota=quota):
        for bundle in (plain, observed):
            answers = [await chat(bundle), *await gather_text(bundle.async_chat_streamly("Be brief.", history()))]
            for answer in answers:
                assert answer.startswith("**ERROR**: QUOTA_EXCEEDED - quota 'acme' is used up")
        with pytest.raises(ragmeter.QuotaExceeded):
            plain.encode(["Marley was dead."])
        with pytest.raises(ragmeter.QuotaExceeded):
            list(plain.tts("Marley was dead."))
    assert kit.billed()[2] == calls
    assert quota.usage(tenant="acme")[0]["reserved"] == 0
    kit.assert_clean()
