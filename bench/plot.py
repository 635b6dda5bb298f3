# SPDX-License-Identifier: Apache-2.0
"""The picture: each workload's time relative to native, a dot for each contender on a logarithmic axis, with the range
between its fastest and slowest run."""
import math
import statistics
from xml.sax.saxutils import escape

COLORS = {"tcg": "#c0504d", "tcg-max": "#d99a3a", "kuse": "#1f6fb4", "qemu": "#2e8b57", "native": "#555555"}
LEFT, WIDTH, ROW, TOP = 110, 700, 15, 64


class Axis:
    def __init__(self, values):
        self.low = math.floor(math.log10(min([1, *values]) / 1.01))
        self.high = max(self.low + 1, math.ceil(math.log10(max([1, *values]))))

    def x(self, value):
        return LEFT + WIDTH * (math.log10(value) - self.low) / (self.high - self.low)

    def marks(self):
        for power in range(self.low, self.high + 1):
            for digit in (1, 2, 5):
                value = digit * 10.0 ** power
                if value <= 10.0 ** self.high:
                    yield value, digit == 1


def text(x, y, content, anchor="start", size=11, weight="normal", color="#222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{color}">{escape(content)}</text>')


def line(x1, y1, x2, y2, color, width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width}"/>'


def relative(columns, contender, base, workload):
    """(low, median, high) in units of the base's median, or None."""
    values, unit = columns.get(contender, workload), columns.get(base, workload)
    if not values or not unit or statistics.median(unit) <= 0 or min(values) <= 0:
        return None
    unit = statistics.median(unit)
    return min(values) / unit, statistics.median(values) / unit, max(values) / unit


def rows(columns, groups, base):
    """(group, workload or None for its heading, {contender: (low, median, high)})"""
    for group in groups:
        found = []
        for workload in columns.present(group.workloads):
            spots = {c: relative(columns, c, base, workload) for c in columns.names if c != base}
            found.append((workload, {c: s for c, s in spots.items() if s}))
        if found:
            yield group.name, None, {}
            yield from ((group.name, workload, spots) for workload, spots in found)


def legend(columns, base):
    x = LEFT
    for name in columns.names:
        if name != base:
            yield f'<circle cx="{x}" cy="40" r="4" fill="{COLORS[name]}"/>'
            yield text(x + 8, 44, name)
            x += 70


def grid(axis, bottom):
    for value, whole in axis.marks():
        x = axis.x(value)
        yield line(x, TOP, x, bottom, "#333" if value == 1 else "#bbb" if whole else "#eee")
        if whole or axis.high - axis.low < 3:
            yield text(x, TOP - 5, f"{value:g}", "middle", 10)


def drawn_row(axis, y, group, workload, spots):
    if workload is None:
        yield text(4, y + 4, group, weight="bold")
        return
    yield text(LEFT - 8, y + 4, workload, "end", color="#222" if spots else "#b00")
    for name, (low, middle, high) in spots.items():
        yield line(axis.x(low), y, axis.x(high), y, COLORS[name], 2)
        yield f'<circle cx="{axis.x(middle):.1f}" cy="{y}" r="4" fill="{COLORS[name]}"/>'


def svg(columns, result, groups):
    base = "native" if "native" in columns.names else columns.names[0]
    shown = list(rows(columns, groups, base))
    axis = Axis([v for _, _, spots in shown for s in spots.values() for v in s])
    bottom = TOP + ROW * (len(shown) + 1)
    m = result["machine"]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{bottom + 10}" '
             'font-family="sans-serif">', '<rect width="100%" height="100%" fill="white"/>',
             text(4, 18, f"Time relative to {base} (less is better): {m['cpu']}, {m['revision']}, {m['date'][:10]}, "
                         f"{m['rounds']} rounds, medians and ranges", size=12)]
    parts += legend(columns, base)
    parts += grid(axis, bottom)
    for number, row in enumerate(shown, 1):
        parts += drawn_row(axis, TOP + ROW * number, *row)
    return "\n".join(parts) + "\n</svg>\n"
