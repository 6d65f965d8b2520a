# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured: cases, variants of the kernel and its knobs, sizes; and in which order.

A variant whose knobs a kernel does not have is not measured. Variants of one case run one after the other,
so that what changes in the host meets all of them.
"""

import pathlib
from typing import NamedTuple

K = 1024
STOCK = "stock"
PLATFORMS = UML, TCG = "uml", "tcg"


class Variant(NamedTuple):
    """A kernel, "stock" or "patched", what is written to ksmd's files before a case, and how many passes more than
    the case's are made."""
    name: str
    kernel: str
    knobs: tuple
    more_passes: int = 0


class Case(NamedTuple):
    """A case: what the program is asked for, what to set, and for "fresh" what else the variants with knobs set."""
    name: str
    program: str
    passes: int
    knobs: tuple = ()
    extra: tuple = ()


class Job(NamedTuple):
    """One machine: a case of some size with a variant."""
    platform: str
    case: Case
    variant: Variant
    pages: int


# Where few pages of a pass are looked at, and a boot's seed says which, three late passes tell little of the next boot.
VARIANTS = (
    Variant(STOCK, "stock", ()),
    Variant("default", "patched", ()),
    Variant("checksum", "patched", ("index=checksum",)),
    Variant("unwritten", "patched", ("index=checksum", "skip_unwritten=256"), more_passes=18),
)

CASES = (
    Case("unique", "unique", 6),
    Case("scattered", "scattered", 6),
    Case("prefix", "prefix", 6),
    Case("near", "near", 6),
    Case("pairs", "pairs", 6),
    Case("multi", "multi", 6),
    Case("mixed", "mixed", 6),
    Case("few", "few", 6),
    Case("few-short", "few", 6, ("max_page_sharing=16",)),
    Case("written-10", "written-10", 6),
    Case("written-100", "written-100", 6),
    Case("fresh", "fresh", 6, (), ("@boost_new_millisecs=1000",)),
    Case("verify", "verify", 10, ("max_page_sharing=16",)),
)

# Sizes in pages, by case; what is not listed has those of "*". Under TCG pages are verified; on UML each page
# that is written again stops the machine, and nothing is learned of time.
SIZES = {
    "gate": {TCG: {"*": (16 * K,), "fresh": (32 * K,)}},
    "quick": {
        TCG: {"unique": (16 * K, 64 * K), "mixed": (16 * K, 64 * K), "*": (16 * K,), "fresh": (32 * K,)},
        UML: {"unique": (16 * K, 256 * K), "scattered": (256 * K,), "prefix": (16 * K, 256 * K),
              "pairs": (256 * K,), "multi": (256 * K,), "mixed": (256 * K,), "written-10": (256 * K,),
              "written-100": (256 * K,), "fresh": (64 * K, 256 * K), "verify": (), "*": (16 * K,)},
    },
    "full": {
        TCG: {"*": (16 * K, 64 * K), "fresh": (32 * K, 64 * K), "verify": (16 * K,)},
        UML: {"unique": (16 * K, 64 * K, 256 * K, 512 * K, 1024 * K), "scattered": (256 * K, 512 * K),
              "prefix": (16 * K, 256 * K, 512 * K), "few": (64 * K,), "few-short": (64 * K,),
              "near": (16 * K, 64 * K), "pairs": (16 * K, 256 * K), "multi": (64 * K, 256 * K),
              "mixed": (64 * K, 256 * K), "fresh": (64 * K, 256 * K, 512 * K), "verify": (),
              "*": (256 * K,)},
    },
}


def add_choices(parser, cases):
    """The options that say what is measured, or which table is printed; `cases` is the help of --cases."""
    parser.add_argument("--cases", type=lambda text: text.split(","), default=(), help=cases)
    parser.add_argument("--variants", type=lambda text: text.split(","), default=(), help="only these, by comma")
    parser.add_argument("--pages", type=lambda text: tuple(map(int, text.split(","))), default=(),
                        help="these numbers of pages in place of the planned ones")
    parser.add_argument("--table", type=pathlib.Path, metavar="JSON", help="measure nothing: print the table of that file")


def knobs_of(case, variant):
    return (*case.knobs, *variant.knobs, *(case.extra if variant.knobs else ()))


def passes_of(case, variant):
    return case.passes + variant.more_passes


def jobs(size, platforms=PLATFORMS, cases=(), variants=(), pages=()):
    """The jobs of one round, in order. Names in `cases` and `variants` choose of all, as `pages` does
    in place of the sizes of the plan."""
    for platform in platforms:
        table = SIZES[size].get(platform, {})
        for case in CASES:
            if not table or (cases and case.name not in cases):
                continue
            for count in pages or table.get(case.name, table["*"]):
                for variant in VARIANTS:
                    if not variants or variant.name in variants:
                        yield Job(platform, case, variant, count)


def memory_mib(job):
    """Memory that the machine needs: its pages, what the kernel keeps of each, and room."""
    return job.pages * 4 // K * 9 // 8 + 256
