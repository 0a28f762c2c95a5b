# SPDX-License-Identifier: Apache-2.0
"""A dot plot of ratios with their intervals, as SVG."""
import math
from xml.sax.saxutils import escape

COLOURS = ("#1f6fb4", "#c8641e", "#3a8f4d", "#8a4fa3")
WIDTH, LABELS, MARGIN, LINE = 900, 330, 20, 11


class Row:
    def __init__(self, label, more_is_better, bars):
        self.label, self.more_is_better, self.bars = label, more_is_better, bars  # bars: (peer, spread.Ratio)


class Axis:
    """Logarithmic: half and double lie as far from 1."""

    def __init__(self, ratios):
        positive = [value for ratio in ratios for value in (ratio.low, ratio.high, ratio.value) if value > 0]
        self.low = min(0.5, 2 ** math.floor(math.log2(min(positive))))
        self.high = max(2.0, 2 ** math.ceil(math.log2(max(positive))))

    def x(self, value):
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return LABELS + share * (WIDTH - LABELS - MARGIN)

    def ticks(self):
        value = self.low
        while value <= self.high * 1.001:
            yield value
            value *= 2


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def ratios(title, peers, rows):
    axis = Axis([ratio for row in rows for _, ratio in row.bars])
    top, step = 70, LINE * len(peers) + 8
    bottom = top + step * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 50}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{WIDTH}" height="{bottom + 50}" fill="white"/>',
           text(MARGIN, 24, title, more='font-size="15" font-weight="bold"')]
    for i, peer in enumerate(peers):
        x = LABELS + 190 * i
        out += [f'<circle cx="{x}" cy="44" r="4" fill="{COLOURS[i % len(COLOURS)]}"/>', text(x + 9, 48, peer)]
    for tick in axis.ticks():
        x = axis.x(tick)
        strong = abs(tick - 1) < 1e-9
        out.append(f'<line x1="{x:.1f}" y1="{top - 8}" x2="{x:.1f}" y2="{bottom}" '
                   f'stroke="{"#444" if strong else "#ddd"}"/>')
        out.append(text(x, bottom + 16, f"{tick:g}", "middle", 'fill="#555"'))
    out.append(text(axis.x(1) - 8, bottom + 36, "← less", "end", 'fill="#555"'))
    out.append(text(axis.x(1) + 8, bottom + 36, "more →", "start", 'fill="#555"'))
    for number, row in enumerate(rows):
        y = top + number * step
        label = row.label + (" (more is better)" if row.more_is_better else "")
        out.append(text(LABELS - 10, y + step / 2, label, "end"))
        for i, peer in enumerate(peers):
            ratio = next((ratio for name, ratio in row.bars if name == peer), None)
            if ratio is None:
                continue
            at, colour = y + LINE * i + 8, COLOURS[i % len(COLOURS)]
            out.append(f'<line x1="{axis.x(ratio.low):.1f}" y1="{at}" x2="{axis.x(ratio.high):.1f}" y2="{at}" '
                       f'stroke="{colour}" stroke-width="2"/>')
            out.append(f'<circle cx="{axis.x(ratio.value):.1f}" cy="{at}" r="4" fill="{colour}"/>')
    return "\n".join(out) + "\n</svg>\n"
