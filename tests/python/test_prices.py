import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import genai_prices
import pytest

import ragmeter
from ragmeter import Ledger, Usage, quantity
from ragmeter.prices import Prices

TABLE = {"m": {"input": "0.15", "output": "0.60", "cache_read": "0.075"}, "azure/m": {"input": "1", "output": "2"}}


def test_subsets_are_taken_out_of_their_total_and_the_sum_is_exact():
    usage = {"input_tokens": 1_000_001, "cache_read_tokens": 3, "output_tokens": 7, "reasoning_tokens": 5}
    expected = (Decimal("0.15") * 999_998 + Decimal("0.075") * 3 + Decimal("0.60") * 7) / 1_000_000
    assert Prices(TABLE).cost("openai", "m", usage) == expected


@pytest.mark.parametrize(
    ("model", "usage"),
    [("nobody", {"input_tokens": 1, "output_tokens": 1}), (None, {"input_tokens": 1, "output_tokens": 1}),
     ("m", {}), ("m", {"input_tokens": 1})],
)  # fmt: skip
def test_what_is_unknown_has_no_cost(model, usage):
    assert Prices(TABLE).cost("openai", model, usage) is None


def test_a_provider_s_own_price_wins():
    assert Prices(TABLE).cost("azure", "m", {"input_tokens": 10, "output_tokens": 0}) == Decimal("0.00001")


def test_a_round_sum_is_written_in_full():
    assert str(Prices(TABLE).cost("azure", "m", {"input_tokens": 100_000_000, "output_tokens": 0})) == "100"
    assert str(quantity.dollars(100 * 10**12)) == "100"
    assert str(quantity.dollars(1)) == "1E-12"


@pytest.mark.parametrize(
    "table", [{"m": {"input": "a"}}, {"m": {"inputs": 1}}, {"m": {"input": -1}}, {"m": {"input": "NaN"}}]
)
def test_a_table_that_makes_no_sense_is_refused(table):
    with pytest.raises(ValueError, match="price"):
        Prices(table)


@pytest.mark.parametrize(
    "table",
    [
        {"m": {"input": {"base": "1"}}},
        {"m": {"input": {"base": "1", "tiers": [{"start": 5}]}}},
        {"m": {"input": "1", "from": "16:30"}},
        {"m": {"input": "1", "from": "16:30", "to": "00:30Z"}},
        {"m": {"input": "1", "from": "16:30+08:00", "to": "00:30+08:00"}},
        {"m": [{"input": "1", "since": "yesterday"}]},
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(table):
    with pytest.raises(ValueError, match="m: "):
        Prices(table)


def test_the_bundled_prices_know_current_models_and_lengths():
    prices = Prices.bundled({"mine": {"input": "1", "output": "1"}})
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert prices.cost("openai", "gpt-4o-mini", usage) == Decimal("0.15")
    assert prices.cost("openai", "mine", usage) == Decimal(1)
    assert prices.cost("openai", "no-such-model-at-all", usage) is None


def micros(text):
    return int(datetime.fromisoformat(text + "+00:00").timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("provider", "model", "at"),
    [
        ("google", "gemini-2.5-pro", "2026-11-20T12:00:00"),
        ("anthropic", "claude-sonnet-4-5", "2026-11-20T12:00:00"),
        ("deepseek", "deepseek-chat", "2025-04-01T12:00:00"),
        ("deepseek", "deepseek-chat", "2025-04-01T20:00:00"),
        ("deepseek", "deepseek-reasoner", "2025-04-01T00:29:59"),
        ("openai", "o3", "2025-06-01T00:00:00"),
        ("openai", "o3", "2025-06-10T00:00:00"),
    ],
)
@pytest.mark.parametrize("length", [200_000, 200_001])
def test_one_request_costs_what_the_package_itself_says(provider, model, at, length):
    """The oracle is the calculation of genai-prices, with its own tiers and times."""
    counts = {"input_tokens": length, "cache_read_tokens": 777, "output_tokens": 1234}
    when = datetime.fromisoformat(at + "+00:00")
    expected = genai_prices.calc_price(
        genai_prices.Usage(**counts), model, provider_id=provider, genai_request_timestamp=when
    ).total_price
    assert Prices.bundled().cost(provider, model, counts, at=micros(at)) == expected


TIERED = {
    "long": {
        "input": {"base": "1.25", "tiers": [{"start": 200_000, "price": "2.5"}, {"start": 500_000, "price": "5"}]},
        "output": {"base": "10", "tiers": [{"start": 200_000, "price": "15"}]},
        "cache_read": "0.125",
    }
}


@pytest.fixture
def ledger(database, tmp_path):
    with Ledger.open(database, journal=tmp_path / "journal") as ledger:
        yield ledger


def test_a_sum_of_calls_of_many_lengths_costs_what_each_costs(ledger):
    lengths = [10, 200_000, 200_001, 499_999, 500_001, 3_000_000]
    for number, length in enumerate(lengths):
        usage = Usage(input_tokens=length, output_tokens=number, cache_read_tokens=number * 2)
        ragmeter.record(usage, model="long", tenant=f"t{number % 2}", document=f"d{number % 3}")
    ragmeter.record(Usage(input_tokens=5, output_tokens=5), model="long", tenant="t1", role="query")
    ragmeter.record(Usage(input_tokens=5, output_tokens=5), model="nobody knows", tenant="t2")
    assert ledger.flush(20)
    prices = Prices(TIERED)
    calls = list(ledger.calls())

    def cost(**labels):
        chosen = [call for call in calls if labels.items() <= call["labels"].items()]
        return sum(prices.cost(None, "long", call["usage"]) for call in chosen)

    rows = {row["tenant"]: row for row in ledger.usage(by=["tenant"], prices=prices)}
    assert (rows["t0"]["cost"], rows["t1"]["cost"]) == (cost(tenant="t0"), cost(tenant="t1"))
    by_hand = [
        (10, "1.25", 0, "10"),
        (200_001, "2.5", 2, "15"),
        (500_001, "5", 4, "15"),
    ]  # 10, 200,001 and 500,001 long
    assert cost(tenant="t0") * 10**6 == sum(
        Decimal(rate) * (length - 2 * n) + Decimal("0.125") * 2 * n + Decimal(out) * n
        for length, rate, n, out in by_hand
    )
    assert (rows["t2"]["cost"], rows["t2"]["priced_calls"]) == (None, 0)
    assert ledger.usage(prices=prices)[0]["cost"] is None
    by_document = {
        row["document"]: row["cost"] for row in ledger.usage(by=["document"], where={"model": "long"}, prices=prices)
    }
    assert by_document == {None: cost(role="query"), **{f"d{n}": cost(document=f"d{n}") for n in range(3)}}
    for bucket in ("hour", "day", "month"):
        rows = ledger.usage(where={"model": "long"}, bucket=bucket, prices=prices)
        assert sum(row["cost"] for row in rows) == cost(model="long")
        assert sum(row["calls"] for row in rows) == len(lengths) + 1


def test_a_call_that_several_share_is_as_long_as_its_parts_together(ledger):
    shares = [({"document": "a"}, 1), ({"document": "b"}, 3)]
    ragmeter.record(Usage(input_tokens=240_000, output_tokens=0), model="long", shares=shares)
    assert ledger.flush(20)
    rows = {row["document"]: row["cost"] for row in ledger.usage(by=["document"], prices=Prices(TIERED))}
    assert rows == {"a": Decimal("0.15"), "b": Decimal("0.45")}
    assert ledger.document("a", prices=Prices(TIERED))[0]["cost"] == Decimal("0.15")


def test_calls_that_are_gone_have_an_unknown_cost_where_their_length_matters(ledger):
    for model in ("long", "flat"):
        ragmeter.record(Usage(input_tokens=1_000_000, output_tokens=0), model=model)
    assert ledger.flush(20)
    ledger.prune(time.time_ns() // 1000 + 7_200_000_000)
    prices = Prices({**TIERED, "flat": {"input": "2", "output": "2"}})
    rows = {row["model"]: row["cost"] for row in ledger.usage(by=["model"], prices=prices)}
    assert rows == {"long": None, "flat": Decimal(2)}


def test_prices_that_change_are_those_of_the_time_of_the_call(ledger):
    ragmeter.record(Usage(input_tokens=1_000_000, output_tokens=0), model="dated")
    ragmeter.record(Usage(input_tokens=1_000_000, output_tokens=0), model="daily")
    ragmeter.record(Usage(input_tokens=1_000_000, output_tokens=0), model="nightly")
    assert ledger.flush(20)
    first = min(call["at"] for call in ledger.calls())
    today = datetime.fromtimestamp(first / 1e6, timezone.utc).date()
    half_hour = datetime.fromtimestamp(first // 1_800_000_000 * 1800, timezone.utc)
    begin, end = half_hour - timedelta(minutes=30), half_hour + timedelta(minutes=60)
    around = {"from": f"{begin:%H:%M}", "to": f"{end:%H:%M}", "input": "4", "output": "0"}
    prices = Prices(
        {
            "dated": [
                {"input": "1", "output": "0"},
                {"since": str(today), "input": "2", "output": "0"},
                {"since": str(today + timedelta(days=1)), "input": "3", "output": "0"},
            ],
            "daily": [{"input": "1", "output": "0"}, around],
            "nightly": [{"input": "1", "output": "0"}, {**around, "from": around["to"], "to": around["from"]}],
        }
    )
    for question in ({}, {"bucket": "hour"}, {"bucket": "month"}, {"since": "2d"}):
        rows = ledger.usage(by=["model"], prices=prices, **question)
        assert {row["model"]: row["cost"] for row in rows} == {
            "dated": Decimal(2), "daily": Decimal(4), "nightly": Decimal(1),
        }  # fmt: skip
    ledger.prune(time.time_ns() // 1000 + 7_200_000_000)
    rows = {row["model"]: row["cost"] for row in ledger.usage(by=["model"], prices=prices)}
    assert rows == {"dated": Decimal(2), "daily": None, "nightly": None}
