"""Tokens over time as a picture: SVG with nothing but this page, PNG with matplotlib."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragmeter.commands.table import visible
from ragmeter.quantity import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["draw"]

_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e")
_OTHERS = "#9498a0"
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 960, 420, 70, 20, 40, 200
_FORMS = {"hour": "%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}


def draw(path: str, rows: Sequence[dict[str, Any]], by: Sequence[str], bucket: str) -> None:
    """Draw stacked bars of tokens, one colour for each combination of labels; the small ones together.

    Raises:
        ValueError: The file's name ends in neither .svg nor .png, or there is nothing to draw.
        ImportError: PNG without matplotlib.
    """
    if not rows:
        msg = "there are no calls to draw"
        raise ValueError(msg)
    times, series = _series(rows, by)
    labels = [moment(at).strftime(_FORMS[bucket]) for at in times]
    if path.endswith(".svg"):
        Path(path).write_text(_svg(labels, series), encoding="utf-8")
    elif path.endswith(".png"):
        _png(path, labels, series)
    else:
        msg = f"a picture's name ends in .svg or .png, not '{path}'"
        raise ValueError(msg)


def _series(rows: Sequence[dict[str, Any]], by: Sequence[str]) -> tuple[list[int], dict[str, list[int]]]:
    times = sorted({row["at"] for row in rows})
    place = {at: index for index, at in enumerate(times)}
    found: dict[str, list[int]] = {}
    for row in rows:
        name = visible(" · ".join(row[key] or "–" for key in by) or "all")
        tokens = (row["usage"].get("input_tokens") or 0) + (row["usage"].get("output_tokens") or 0)
        found.setdefault(name, [0] * len(times))[place[row["at"]]] += tokens
    ordered = dict(sorted(found.items(), key=lambda item: -sum(item[1])))
    kept = dict(list(ordered.items())[: len(_COLOURS)])
    rest = list(ordered.values())[len(_COLOURS) :]
    if rest:
        kept[f"{len(rest)} others"] = [sum(counts) for counts in zip(*rest, strict=True)]
    return times, kept


def _colour(index: int) -> str:
    return _COLOURS[index] if index < len(_COLOURS) else _OTHERS


def _short(count: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:g}{unit}"
    return f"{count:g}"


def _step(most: int) -> float:
    """Return a round step that divides the axis into four to eight."""
    step = 10.0 ** (len(str(max(most, 1))) - 1)
    for part in (0.1, 0.2, 0.5, 1, 2):
        if most / (step * part) <= 8:  # noqa: PLR2004 - lines that can still be told apart
            return step * part
    return step


def _svg(labels: Sequence[str], series: dict[str, list[int]]) -> str:
    most = max(sum(counts) for counts in zip(*series.values(), strict=True)) or 1
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    slot, floor = width / len(labels), _TOP + height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    step, line = _step(most), 0.0
    while line <= most:
        y = floor - height * line / most
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{width}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(line)}</text>')
        line += step
    bottoms = [float(floor)] * len(labels)
    for index, (name, counts) in enumerate(series.items()):
        parts.append(f'<g fill="{_colour(index)}"><title>{escape(name)}</title>')
        for at, count in enumerate(counts):
            size = height * count / most
            bottoms[at] -= size
            if size:
                x = _LEFT + slot * at + slot * 0.1
                parts.append(f'<rect x="{x:.1f}" y="{bottoms[at]:.1f}" width="{slot * 0.8:.1f}" height="{size:.1f}"/>')
        y = _TOP + 18 * index
        parts.append(f'<rect x="{_WIDTH - _RIGHT + 14}" y="{y}" width="11" height="11"/></g>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 30}" y="{y + 10}">{escape(name[:28])}</text>')
    every = -(-len(labels) // 8)
    for at in range(0, len(labels), every):
        x = _LEFT + slot * (at + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{labels[at]}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _png(path: str, labels: Sequence[str], series: dict[str, list[int]]) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        msg = "a PNG is drawn with matplotlib (`pip install ragmeter[plot]`); an .svg needs nothing"
        raise ImportError(msg) from None

    figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), dpi=100, layout="constrained")
    axes = figure.subplots()
    bottoms = [0] * len(labels)
    for index, (name, counts) in enumerate(series.items()):
        axes.bar(labels, counts, 0.8, bottom=bottoms, label=name, color=_colour(index))
        bottoms = [below + count for below, count in zip(bottoms, counts, strict=True)]
    axes.set_ylabel("tokens")
    axes.yaxis.set_major_formatter(lambda count, _: _short(count))
    every = -(-len(labels) // 8)
    axes.set_xticks(range(0, len(labels), every), labels[::every])
    figure.legend(loc="outside right upper")
    figure.savefig(path)
