import json
from decimal import Decimal

import ragmeter
from ragmeter import Ledger, Usage
from ragmeter.cli import main
from ragmeter.commands.table import table


def test_a_report_is_a_table_json_csv_or_a_picture(tmp_path, capsys):
    url = f"sqlite:{tmp_path}/ledger.db"
    with Ledger.open(url) as ledger:
        for tenant, model, tokens in [
            ("acme", "gpt-4o-mini", 1000),
            ("acme", "other", 500),
            ("initech", "gpt-4o-mini", 250),
        ]:
            usage = Usage(input_tokens=tokens, output_tokens=1, cache_read_tokens=2)
            ragmeter.record(usage, tenant=tenant, model=model)
        assert ledger.flush(20)
    prices = tmp_path / "prices.json"
    prices.write_text('{"gpt-4o-mini": {"input": 0.15, "output": 0.6, "cache_read": 0.075}}')
    report = ["report", "--ledger", url, "--by", "tenant,model", "--since", "1d"]
    assert main([*report, "--prices", str(prices)]) == 0
    page = capsys.readouterr().out
    assert "████████████████████████" in page
    assert "unknown" in page
    assert main([*report, "--json", "--prices", str(prices)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert next((row["tenant"], row["model"], row["usage"]["input_tokens"]) for row in rows) == (
        "acme",
        "gpt-4o-mini",
        1000,
    )
    assert Decimal(rows[0]["cost"]) == Decimal("0.00015045")
    assert rows[1]["cost"] is None
    assert main([*report, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("tenant,model,calls,")
    for name, begin in [("a.svg", b"<svg"), ("a.png", b"\x89PNG")]:
        assert main([*report, "--plot", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(begin)
    assert main([*report, "--plot", str(tmp_path / "a.gif")]) == 2


def test_a_table_stands_straight_whatever_a_label_holds():
    page = table(["tenant", "calls"], [["租户\x1b[2J", 1], ["a\nb", 22]])
    assert page.splitlines() == ["tenant    calls", "────────  ─────", "租户�[2J      1", "a�b          22"]


def test_a_report_of_nothing_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RAGMETER_LEDGER", raising=False)
    assert main(["report"]) == 2
    assert main(["report", "--ledger", f"sqlite:{tmp_path}/missing.db"]) == 2
    assert not (tmp_path / "missing.db").exists()
    assert main(["report", "--ledger", "sqlite:x", "--by", "colour"]) == 2
    assert "there is no label 'colour'" in capsys.readouterr().err
