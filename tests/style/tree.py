# SPDX-License-Identifier: GPL-2.0-or-later
"""What the style checks share: the files of the tree, C without comments and strings, and reporting.

A rule is a generator of problems, each a text that begins with FILE or FILE:LINE.  A check passes when
its rule finds none; `main()` turns a list of rules into TAP.
"""

import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
C_SUFFIXES = (".c", ".h")
# Comments and literals of C, to be blanked; newlines stay, so that line numbers do.
C_NOISE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def files():
    """Every file of the tree that git knows or would add, relative to the top, sorted."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, check=True, capture_output=True).stdout.decode()
    names = sorted(set(filter(None, listing.split("\0"))))
    return [pathlib.Path(name) for name in names if (TOP / name).is_file()]


def read(path):
    """A file's text; None for what is not text."""
    try:
        return (TOP / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def first_line(path):
    with open(TOP / path, "rb") as file:
        return file.readline(200)


def sources(*suffixes):
    """(path, text) of each file with one of these suffixes."""
    return [(path, read(path)) for path in files() if path.suffix in suffixes]


def c_code(text, keep_strings=False):
    """C with its comments, and unless kept its literals, replaced by blanks of the same length."""
    def blank(match):
        piece = match.group()
        if keep_strings and piece[0] in "\"'":
            return piece
        if piece[0] in "\"'":
            return piece[0] + " " * (len(piece) - 2) + piece[0]
        return re.sub(r"[^\n]", " ", piece)
    return C_NOISE.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def main(rules):
    """Runs (name, rule) pairs as TAP; the exit status tells."""
    failed = 0
    print(f"1..{len(rules)}")
    for number, (name, rule) in enumerate(rules, 1):
        problems = list(rule())
        failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - {name}")
        for problem in problems:
            print(f"# {problem}")
    sys.exit(1 if failed else 0)
