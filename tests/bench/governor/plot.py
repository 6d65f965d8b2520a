# SPDX-License-Identifier: GPL-2.0-or-later
"""The runs as a picture: for each case, the saving over time and the CPU over time, a line for each manager and
round. Time is logarithmic, for one manager's seconds are another's minutes."""

import html
import math

import figures
import plan

WIDTH, HEIGHT, MARGIN, LEGEND = 460, 270, 56, 28
COLOURS = dict(zip(plan.NAMES, ("#d62728", "#1f77b4", "#2ca02c", "#444444", "#17becf", "#bcbd22", "#ff7f0e")))
TICKS_SEC = (1, 2, 5, 10, 30, 60, 120, 300, 600)
FIRST_SEC = 0.5
PANELS = (("saved, MiB", lambda sample: sample.saved_bytes / (1 << 20)), ("CPU of ksmd and manager, s", lambda sample: sample.cpu_sec))


def _text(x, y, words, anchor="middle", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _round_up(number):
    """The least of 1, 2 or 5 times a power of ten that is no less."""
    power = 10 ** math.floor(math.log10(number)) if number > 0 else 1
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= number)


class _Panel:
    """One diagram, at a place of the picture; it reaches from FIRST_SEC to last_sec and from 0 to highest."""

    def __init__(self, left, top, last_sec, highest):
        self._left, self._top = left + MARGIN, top + MARGIN / 2
        self._width, self._height = WIDTH - 1.5 * MARGIN, HEIGHT - 1.5 * MARGIN
        self._decades = math.log10(max(last_sec, 2 * FIRST_SEC) / FIRST_SEC)
        self._last_sec, self._highest = last_sec, _round_up(highest)

    def place(self, sec, number):
        x = math.log10(max(sec, FIRST_SEC) / FIRST_SEC) / self._decades
        return self._left + self._width * x, self._top + self._height * (1 - number / self._highest)

    def frame(self, title):
        yield (f'<rect x="{self._left}" y="{self._top}" width="{self._width}" height="{self._height}" fill="none" '
               'stroke="#999999"/>')
        yield _text(self._left + self._width / 2, self._top - 8, title, size=14)
        for sec in TICKS_SEC:
            if sec <= self._last_sec:
                x = self.place(sec, 0)[0]
                yield f'<path d="M{x:.1f} {self._top}v{self._height}" stroke="#eeeeee"/>'
                yield _text(x, self._top + self._height + 16, f"{sec} s")
        for part in (0, 0.5, 1):
            yield _text(self._left - 6, self.place(1, part * self._highest)[1] + 4, f"{part * self._highest:g}", "end")

    def line(self, points, colour):
        """Each number holds until the next one is there."""
        path = []
        for (sec, number), (_, before) in zip(points, [points[0], *points]):
            path += [self.place(sec, before), self.place(sec, number)]
        words = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
        return f'<polyline points="{words}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _thinned(series):
    """As many samples as can be told apart in a picture, and the last."""
    kept = []
    for sample in series:
        if not kept or sample.sec >= kept[-1].sec * 1.01:
            kept.append(sample)
    return kept if kept[-1] is series[-1] else [*kept, series[-1]]


def _panels(records):
    """(title, [(manager, [(sec, number)])]) of each."""
    for case in dict.fromkeys(record["case"] for record in records):
        runs = [(record["manager"], _thinned([figures.Sample(*sample) for sample in record["series"]]))
                for record in records if record["case"] == case and record["series"]]
        for title, number in PANELS:
            yield f"{case}: {title}", [(manager, [(one.sec, number(one)) for one in series]) for manager, series in runs]


def draw(records):
    """The picture as text."""
    panels = [panel for panel in _panels(records) if panel[1]]
    height = LEGEND + math.ceil(len(panels) / len(PANELS)) * HEIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{len(PANELS) * WIDTH}" height="{height}" '
             'font-family="sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>']
    for number, (name, colour) in enumerate(COLOURS.items()):
        parts.append(f'<rect x="{MARGIN + number * 110}" y="8" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(MARGIN + number * 110 + 18, 19, name, "start"))
    for number, (title, runs) in enumerate(panels):
        points = [point for _, one in runs for point in one]
        panel = _Panel(number % len(PANELS) * WIDTH, LEGEND + number // len(PANELS) * HEIGHT,
                       max(sec for sec, _ in points), max(max(value for _, value in points), 1e-3))
        parts += panel.frame(title)
        parts += [panel.line(one, COLOURS[manager]) for manager, one in runs]
    return "\n".join([*parts, "</svg>"]) + "\n"
