#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree is anybody's: it names no machine's folders and no archive's host, every program has its man
page and every option in it, and the news, the licence and the queues' parts are there."""

import re

import tree

# Folders of people and of machines, which the file system hierarchy does not know or leaves to the owner.
PERSONAL = re.compile(r"(?<![\w.}/)$*-])/(home|work|Users|workspace)/[\w.]")
SCRATCH = re.compile(r"(?<![\w.}/])/(?:var/)?tmp/[a-z]")
ARCHIVE_HOSTS = re.compile(r"\b(?:deb|security|snapshot|archive|ftp|mirror|mirrors|ports|registry|pypi|proxy|files)"
                           r"(?:\.[a-z0-9-]+)*\.(?:debian|ubuntu|python|pythonhosted|npmjs|kernel)\.(?:org|com)\b")
ADDRESS = re.compile(r"https?://(?:\d{1,3}\.){3}\d{1,3}")
REQUIRED = ("README.md", "NEWS.md", "COPYING", "COPYING.LESSER", "setup", ".ci/run", ".clang-format",
            ".editorconfig", "docs/architecture.md", "docs/hacking.md", "docs/testing.md",
            "qemu-patches/BASE", "qemu-patches/series", "qemu-patches/README.md",
            "kernel/BASE", "kernel/series", "kernel/README.md", "tests/skips.allowed")
PROGRAMS = ("memfold", "memfoldd", "memfold-hook")
EXECUTABLE = ("setup", ".ci/run")


def search(pattern, what):
    for path in tree.files():
        text = tree.read(path) or ""
        for match in pattern.finditer(text):
            yield f"{path}:{tree.line_of(text, match.start())}: {what}: {match.group()}"


def machine_folders():
    yield from search(PERSONAL, "a folder of some machine")
    for problem in search(SCRATCH, "a fixed scratch path (ask mktemp)"):
        if not problem.startswith(("docs/", "qemu-patches/", "kernel/", "README.md")):
            yield problem


def archive_hosts():
    yield from search(ARCHIVE_HOSTS, "an archive's host")
    yield from search(ADDRESS, "a numeric address")


def required_files():
    present = {str(path) for path in tree.files()}
    for name in REQUIRED:
        if name not in present:
            yield f"{name}: is missing"


def man_pages():
    stems = {path.name.split(".")[0] for path in tree.files() if str(path).startswith("docs/man/")}
    for program in PROGRAMS:
        if program not in stems:
            yield f"docs/man: {program} has no manual page"


def news_has_version():
    match = re.search(r"version: '([0-9.]+)'", tree.read("meson.build") or "")
    if not match:
        yield "meson.build: names no version"
    elif not re.search(rf"^#+ .*{re.escape(match.group(1))}", tree.read("NEWS.md") or "", re.MULTILINE):
        yield f"NEWS.md: has no section for {match.group(1)}"


def executables():
    for path in tree.files():
        mode = (tree.TOP / path).stat().st_mode & 0o111
        program = tree.first_line(path).startswith(b"#!")
        if program != bool(mode):
            yield f"{path}: {'begins with #! but is not' if program else 'is'} executable"
        if path.suffix == ".py" and program and tree.first_line(path).strip() != b"#!/usr/bin/python3":
            yield f"{path}: Python programs begin with #!/usr/bin/python3"


def links():
    for path, text in tree.sources(".md"):
        for match in re.finditer(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
            if not (tree.TOP / path).parent.joinpath(match.group(1)).exists():
                yield f"{path}:{tree.line_of(text, match.start())}: a link to {match.group(1)}, which is not there"


if __name__ == "__main__":
    tree.main([
        ("no folder of a machine is named", machine_folders),
        ("no archive's host is named", archive_hosts),
        ("the files that everybody expects are there", required_files),
        ("every program has its manual page", man_pages),
        ("the news know the version", news_has_version),
        ("what is a program is executable", executables),
        ("links inside the tree lead somewhere", links),
    ])
