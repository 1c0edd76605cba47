"""A picture of what was measured, as SVG: time by rows, both logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 70, 330, 30, 50
# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a6d00", "#555555")
SHOWN = (
    ("a message, all checks", "a message through all checks"),
    ("a greylisted message", "a greylisted message"),
    ("report --days 30", "bms report --days 30"),
    ("explain by reference", "bms explain, by reference"),
    ("explain by recipient", "bms explain, by recipient"),
    ("quarantine list", "bms quarantine list"),
    ("console of ann, /", "the console's quarantine, of all users"),
    ("the longest piece of a chore", "the longest piece of a chore"),
)


def draw(found: Mapping[int, Mapping[str, float]]) -> str:
    """An SVG picture; `found` is seconds by rows and by what was done."""
    sizes = sorted(found)
    low, high = -4.0, 1.0  # powers of ten, in seconds

    def x(rows: float) -> float:
        span = math.log10(sizes[-1] / sizes[0]) or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(rows / sizes[0]) / span

    def y(seconds: float) -> float:
        place = (math.log10(max(seconds, 10**low)) - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * place

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        "<title>Time by rows in the store</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for power in range(int(low), int(high) + 1):
        at = y(10**power)
        lines.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_time(power)}</text>')
    lines += [
        f'<text x="{x(rows):.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{rows:,}</text>' for rows in sizes
    ]
    lines.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">rows in each table</text>'
    )
    lines += _curves(found, sizes, x, y)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _curves(found, sizes, x, y) -> list[str]:  # type: ignore[no-untyped-def]
    lines, taken = [], list[float]()
    ends = []
    for (what, label), colour in zip(SHOWN, COLOURS, strict=True):
        points = [(x(rows), y(_of(found[rows], what))) for rows in sizes]
        path = "L".join(f"{at:.1f} {height:.1f}" for at, height in points)
        lines.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        lines += [f'<circle cx="{at:.1f}" cy="{height:.1f}" r="3.5" fill="{colour}"/>' for at, height in points]
        ends.append((points[-1][1], label, colour))
    for height, label, colour in sorted(ends):
        place = max([height, *(one + 17 for one in taken)])
        taken.append(place)
        lines.append(f'<path d="M{WIDTH - RIGHT} {height:.1f}L{WIDTH - RIGHT + 18} {place:.1f}" stroke="{colour}"/>')
        lines.append(f'<text x="{WIDTH - RIGHT + 22}" y="{place + 4:.1f}" fill="{colour}">{escape(label)}</text>')
    return lines


def _of(times: Mapping[str, float], what: str) -> float:
    if what in times:
        return times[what]
    return max((seconds for name, seconds in times.items() if name.startswith("chore ")), default=0.0)


def _time(power: int) -> str:
    return {-4: "0.1 ms", -3: "1 ms", -2: "10 ms", -1: "100 ms", 0: "1 s", 1: "10 s"}[power]
