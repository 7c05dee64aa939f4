from decimal import Decimal

import pytest

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


@pytest.mark.parametrize(
    "table", [{"m": {"input": "a"}}, {"m": {"inputs": 1}}, {"m": {"input": -1}}, {"m": {"input": "NaN"}}]
)
def test_a_table_that_makes_no_sense_is_refused(table):
    with pytest.raises(ValueError, match="price"):
        Prices(table)


def test_the_bundled_prices_know_current_models_and_not_lengths():
    prices = Prices.bundled({"mine": {"input": "1", "output": "1"}})
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert prices.cost("openai", "gpt-4o-mini", usage) == Decimal("0.15")
    assert prices.cost("openai", "mine", usage) == Decimal(1)
    assert prices.cost("google", "gemini-2.5-pro", usage) is None
    assert prices.cost("openai", "no-such-model-at-all", usage) is None
