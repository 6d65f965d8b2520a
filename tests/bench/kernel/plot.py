# SPDX-License-Identifier: GPL-2.0-or-later
"""The measurements as a picture: for each case that was measured at several sizes, the time per page over the
number of pages, a line for each variant, both axes logarithmic. Plain SVG, for no library is needed to draw lines."""

import html
import math

import plan
import summary

PANEL_WIDTH, PANEL_HEIGHT, MARGIN, COLUMNS = 420, 280, 56, 2
COLOURS = {"stock": "#444444", "default": "#1f77b4", "checksum": "#2ca02c", "unwritten": "#d62728"}
FIGURE = "late"


def _text(x, y, words, anchor="middle", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{html.escape(words)}</text>'


class _Panel:
    """One case. Places are in points of the picture."""

    def __init__(self, left, top, sizes, numbers):
        self._left, self._top = left + MARGIN, top + MARGIN / 2
        self._width, self._height = PANEL_WIDTH - 1.5 * MARGIN, PANEL_HEIGHT - 1.5 * MARGIN
        self._x = (math.log2(min(sizes)), math.log2(max(sizes)))
        self._y = (math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers)) + 1e-9))

    def place(self, pages, number):
        x, y = math.log2(pages) - self._x[0], math.log10(number) - self._y[0]
        return (self._left + self._width * (x / (self._x[1] - self._x[0]) if self._x[1] > self._x[0] else 0.5),
                self._top + self._height * (1 - y / (self._y[1] - self._y[0])))

    def frame(self, title, sizes):
        yield (f'<rect x="{self._left}" y="{self._top}" width="{self._width}" height="{self._height}" fill="none" '
               'stroke="#999999"/>')
        yield _text(self._left + self._width / 2, self._top - 8, title, size=14)
        for pages in sizes:
            yield _text(self.place(pages, 10 ** self._y[0])[0], self._top + self._height + 16, summary.size_words(pages))
        for power in range(self._y[0], self._y[1] + 1):
            y = self.place(sizes[0], 10 ** power)[1]
            yield f'<path d="M{self._left} {y:.1f}h{self._width}" stroke="#dddddd"/>'
            yield _text(self._left - 6, y + 4, f"{10.0 ** power:g}", "end")


def _lines(panel, points):
    """points: {variant: [(pages, Value)]}."""
    for variant, values in points.items():
        colour = COLOURS[variant]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (panel.place(pages, value.median) for pages, value in values))
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for pages, value in values:
            x, y = panel.place(pages, value.median)
            low, high = (panel.place(pages, number)[1] for number in (value.low, value.high))
            yield f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _panels(results):
    """(title, {variant: [(pages, Value)]}) of each."""
    for platform, unit in ((plan.UML, "ns"), (plan.TCG, "instructions")):
        for case in plan.CASES:
            points = {}
            for variant in plan.VARIANTS:
                values = [(pages, results.value(platform, case.name, pages, variant.name, FIGURE))
                          for pages in results.sizes(platform, case.name)]
                if values := [(pages, value) for pages, value in values if value and value.low > 0]:
                    points[variant.name] = values
            if points:
                yield f"{case.name}, steady pass: {unit} per page", points


def draw(records):
    """The picture as text."""
    panels = list(_panels(summary.Results(records)))
    height = MARGIN / 2 + math.ceil(len(panels) / COLUMNS) * PANEL_HEIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * PANEL_WIDTH}" height="{height:.0f}" '
             'font-family="sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>']
    for number, (name, colour) in enumerate(COLOURS.items()):
        parts.append(f'<rect x="{MARGIN + number * 110}" y="8" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(MARGIN + number * 110 + 18, 19, name, "start"))
    for number, (title, points) in enumerate(panels):
        sizes = sorted({pages for values in points.values() for pages, _ in values})
        numbers = [number for values in points.values() for _, value in values for number in (value.low, value.high)]
        panel = _Panel(number % COLUMNS * PANEL_WIDTH, MARGIN / 2 + number // COLUMNS * PANEL_HEIGHT, sizes, numbers)
        parts += [*panel.frame(title, sizes), *_lines(panel, points)]
    return "\n".join([*parts, "</svg>"]) + "\n"
