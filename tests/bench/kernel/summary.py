# SPDX-License-Identifier: GPL-2.0-or-later
"""What the measurements say: medians and spread of each figure, and the table of targets.

A target is a ratio of stock's figure to a variant's, both of one run on UML; of those that count for it the
best variant is shown. Ratios of instructions, from TCG, stand beside: they know nothing of caches.
"""

import statistics
from typing import NamedTuple

import plan

K = plan.K
INDEXED = ("checksum", "unwritten")
MET, MISSED, UNKNOWN = "met", "missed", "n/a"
PAGE_BYTES = 4096


class Value(NamedTuple):
    """A figure over all rounds."""
    median: float
    low: float
    high: float


class Target(NamedTuple):
    """`kind` says how the value comes about: "ratio" of stock to the best of `variants`, "worst" of them;
    "flat", a variant at `pages` over itself at `base` pages; "bytes", what it takes beyond stock. Pages
    None is the largest size that was measured."""
    name: str
    case: str
    figure: str
    pages: int
    variants: tuple
    wanted: float
    kind: str = "ratio"
    base: int = None


TARGETS = (
    Target("unique, steady", "unique", "late", 512 * K, ("checksum",), 5),
    Target("unique, steady", "unique", "late", 1024 * K, ("checksum",), 8),
    Target("unique, steady: 1M over 16k", "unique", "late", 1024 * K, ("checksum",), 1.4, "flat", 16 * K),
    Target("unique, scattered, steady", "scattered", "late", 512 * K, ("checksum",), 5),
    Target("long common prefix", "prefix", "late", 16 * K, ("checksum",), 10),
    Target("long common prefix", "prefix", "late", 512 * K, ("checksum",), 15),
    Target("four processes, mixed, steady", "mixed", "late", None, ("checksum",), 6),
    Target("merge pass, pairs", "pairs", "merge", None, INDEXED, 2.5),
    Target("four processes, to all merged", "multi", "to_merged", None, INDEXED, 2.5),
    Target("first pass, linear", "unique", "first", None, ("checksum",), 1.2),
    Target("first pass, scattered", "scattered", "first", None, ("checksum",), 1.7),
    Target("unchanged", "unique", "late", None, ("unwritten",), 300),
    Target("10 % written", "written-10", "late", None, ("unwritten",), 30),
    Target("merged pages revisited", "pairs", "late", None, ("unwritten",), 3),
    Target("all written before each pass", "written-100", "late", None, ("default", *INDEXED), 0.97, "worst"),
    Target("fresh process, CPU till merged", "fresh", "fresh", 256 * K, INDEXED, 100),
    Target("fresh process: 256k over 64k beside it", "fresh", "fresh", 256 * K, INDEXED, 1.4, "flat", 64 * K),
    Target("memory of the index, bytes per page", "unique", "used", None, INDEXED, 16, "bytes"),
)


class Row(NamedTuple):
    """A line of the table; value and instructions are None where nothing was measured."""
    target: Target
    pages: int
    value: float
    variant: str
    verdict: str
    instructions: float


class Results:
    """The records of a run, by what was measured."""

    def __init__(self, records):
        self._values = {}
        for record in records:
            for figure, number in record.get("figures", {}).items():
                key = (record["platform"], record["case"], record["pages"], record["variant"], figure)
                self._values.setdefault(key, []).append(number)

    def value(self, platform, case, pages, variant, figure):
        """The Value, or None."""
        numbers = self._values.get((platform, case, pages, variant, figure))
        return Value(statistics.median(numbers), min(numbers), max(numbers)) if numbers else None

    def median(self, *key):
        value = self.value(*key)
        return value.median if value else None

    def sizes(self, platform, case):
        return sorted({key[2] for key in self._values if key[:2] == (platform, case)})

    def keys(self):
        """(platform, case, pages, figure) of all there is, in the order it came."""
        return dict.fromkeys((*key[:3], key[4]) for key in self._values)


def ratio(above, below):
    """None where one is unknown, or what is below is nothing."""
    return above / below if above is not None and below else None


def _one(results, platform, target, pages, variant):
    """The value of the target for one variant."""
    def median(size, name):
        return results.median(platform, target.case, size, name, target.figure)
    if target.kind == "flat":
        return ratio(median(pages, variant), median(target.base, variant))
    if target.kind == "bytes":
        stock, ours = median(pages, plan.STOCK), median(pages, variant)
        return None if stock is None or ours is None else ours - stock
    return ratio(median(pages, plan.STOCK), median(pages, variant))


def _chosen(target, values):
    """(value, variant) that counts of those that were measured: the best ratio, or the worst where no variant
    may fail; of what is to be small, the largest."""
    known = [(value, variant) for variant, value in values.items() if value is not None]
    if not known:
        return None, None
    return min(known) if target.kind == "worst" else max(known)


def judge(results, target):
    """The Row of a target."""
    pages = target.pages or max(results.sizes(plan.UML, target.case), default=None)
    values = {name: _one(results, plan.UML, target, pages, name) for name in target.variants}
    value, variant = _chosen(target, values)
    verdict = UNKNOWN
    if value is not None:
        fine = value <= target.wanted if target.kind in ("flat", "bytes") else value >= target.wanted
        verdict = MET if fine else MISSED
    counted = max(results.sizes(plan.TCG, target.case), default=None)
    instructions, _ = _chosen(target, {name: _one(results, plan.TCG, target, counted, name)
                                       for name in ([variant] if variant else target.variants)})
    return Row(target, pages, value, variant, verdict, instructions if target.kind in ("ratio", "worst") else None)


def size_words(pages):
    if pages is None:
        return "-"
    return f"{pages // (K * K)}M" if pages % (K * K) == 0 else f"{pages // K}k"


def number_words(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def aligned(rows):
    """Rows of words as lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]


def target_lines(results):
    rows = [("target", "pages", "wanted", "measured", "", "variant", "in instructions")]
    for target in TARGETS:
        row = judge(results, target)
        sign = "<=" if target.kind in ("flat", "bytes") else ">="
        rows.append((target.name, size_words(row.pages), f"{sign} {number_words(target.wanted)}", number_words(row.value),
                     row.verdict, row.variant or "-", number_words(row.instructions)))
    return aligned(rows)


def figure_lines(results, platform):
    """All figures: the median and spread of each variant, and stock's ratio to it."""
    names = [variant.name for variant in plan.VARIANTS]
    rows = [("case", "pages", "figure", *names)]
    for where, case, pages, figure in results.keys():
        if where != platform:
            continue
        stock = results.median(platform, case, pages, plan.STOCK, figure)
        words = []
        for name in names:
            value = results.value(platform, case, pages, name, figure)
            if value is None:
                words.append("-")
                continue
            text = number_words(value.median)
            if value.low != value.high:
                text += f" ({number_words(value.low)}..{number_words(value.high)})"
            if name != plan.STOCK and (times := ratio(stock, value.median)):
                text += f" {number_words(times)}x"
            words.append(text)
        rows.append((case, size_words(pages), figure, *words))
    return aligned(rows) if len(rows) > 1 else []


def speed_lines(results, hash_bytes_per_sec):
    """How near a pass over unique pages comes to the limit, which is to hash each page once."""
    limit = hash_bytes_per_sec / 1e9
    lines = [f"limit: one read of each page, hashed at {limit:.1f} GB/s"]
    for case in ("unique", "scattered"):
        for pages in results.sizes(plan.UML, case):
            words = []
            for variant in plan.VARIANTS:
                nsec = results.median(plan.UML, case, pages, variant.name, "late")
                if nsec:
                    words.append(f"{variant.name} {PAGE_BYTES / nsec:.2f} GB/s ({PAGE_BYTES / nsec / limit * 100:.0f} %)")
            lines.append(f"  {case} {size_words(pages)}: {', '.join(words)}")
    return lines


def unequal(records):
    """Lines about variants that merged other than stock did."""
    stock = {(r["platform"], r["case"], r["pages"]): r["counts"]
             for r in records if r["variant"] == plan.STOCK and r.get("counts")}
    for record in records:
        where = (record["platform"], record["case"], record["pages"])
        wanted = stock.get(where)
        if record.get("counts") and wanted and not same_merged(record["counts"], wanted):
            yield f"{' '.join(map(str, where))} {record['variant']}: {record['counts']}, stock {wanted}"
        if record.get("wrong"):
            yield f"{' '.join(map(str, where))} {record['variant']}: {record['wrong']} pages changed their content"


def same_merged(found, wanted):
    return all(found.get(key) == wanted.get(key) for key in ("shared", "sharing", "zero"))


def lines(records, hash_bytes_per_sec):
    """The whole report."""
    results = Results(records)
    report = target_lines(results)
    if hash_bytes_per_sec and results.sizes(plan.UML, "unique"):
        report += ["", *speed_lines(results, hash_bytes_per_sec)]
    for platform, title in ((plan.UML, "UML: ns of CPU per page"), (plan.TCG, "TCG: instructions per page")):
        if table := figure_lines(results, platform):
            report += ["", f"{title}; median (spread), stock's ratio to it", *table]
    trouble = list(unequal(records))
    return [*report, "", *(trouble or ["What was merged is the same as on the stock kernel."])]
