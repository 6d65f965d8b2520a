#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The house rules that a program can check: small files and functions, C without goto and without
one-line comments, a licence line in each file, and nothing unfinished."""

import ast
import re

import tree

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
LINE_COLUMNS_MAX = 100
# Long by nature, and other people's.
SIZE_EXEMPT = ("COPYING", "COPYING.LESSER")
LICENCE_EXEMPT = (".clang-format", ".editorconfig", ".gitattributes", ".gitignore", "COPYING", "COPYING.LESSER")
LICENCE_SUFFIXES = (".c", ".h", ".S", ".ld", ".py", ".sh", ".awk", ".build")
# The public library and the names it shares.
LGPL = ("src/lib/", "src/core/mf-names.h")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
LONG_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
BANNED_CALLS = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|system|popen|atoi|alloca)\s*\(")
OPENERS = re.compile(r"\b(open|fopen|opendir|g_file_get_contents|g_file_set_contents|g_dir_open)\s*\(")


def is_patch(path):
    return path.suffix == ".patch"


def is_captured(path):
    """Whether a file is another program's output, or an input for one, kept byte for byte."""
    return path.parts[:2] == ("tests", "data") or path.parts[:3] == ("tests", "fuzz", "corpus")


def is_program(path):
    return tree.first_line(path).startswith(b"#!")


def file_size():
    for path in tree.files():
        text = None if is_patch(path) or path.name in SIZE_EXEMPT else tree.read(path)
        if text and (lines := text.count("\n")) > FILE_LINES_MAX:
            yield f"{path}: {lines} lines, more than {FILE_LINES_MAX}"


def c_functions(code):
    """(first line, last line) of each function body: a brace at depth 0 that follows a parenthesis."""
    depth, start, previous = 0, None, ""
    for offset, char in enumerate(code):
        if char == "{":
            if depth == 0 and previous == ")":
                start = offset
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0 and start is not None:
                yield tree.line_of(code, start), tree.line_of(code, offset)
                start = None
        if not char.isspace():
            previous = char


def c_function_size():
    for path, text in tree.sources(*tree.C_SUFFIXES):
        for first, last in c_functions(tree.c_code(text)):
            if last - first + 1 > FUNCTION_LINES_MAX:
                yield f"{path}:{first}: a function of {last - first + 1} lines, more than {FUNCTION_LINES_MAX}"


def python_function_size():
    for path, text in tree.sources(".py"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if (lines := node.end_lineno - node.lineno + 1) > FUNCTION_LINES_MAX:
                    yield f"{path}:{node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"


def shell_files():
    for path in tree.files():
        if path.suffix == ".sh" or re.match(rb"#!\S*(\bsh|bash)\b", tree.first_line(path)):
            yield path


def shell_function_size():
    for path in shell_files():
        start = None
        for number, line in enumerate(tree.read(path).splitlines(), 1):
            if re.match(r"\w+\(\) [{(]$", line):
                start = number
            elif line in ("}", ")") and start is not None:
                if number - start + 1 > FUNCTION_LINES_MAX:
                    yield f"{path}:{start}: a function of {number - start + 1} lines"
                start = None


def line_width():
    for path in tree.files():
        if path.suffix in tree.C_SUFFIXES:
            for number, line in enumerate(tree.read(path).splitlines(), 1):
                if len(line) > LINE_COLUMNS_MAX:
                    yield f"{path}:{number}: {len(line)} columns, more than {LINE_COLUMNS_MAX}"


def white_space():
    for path in tree.files():
        text = None if is_patch(path) or is_captured(path) or path.name in SIZE_EXEMPT else tree.read(path)
        if not text:
            continue
        if not text.endswith("\n") or text.endswith("\n\n"):
            yield f"{path}: does not end with exactly one newline"
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip():
                yield f"{path}:{number}: white space at the end of the line"
            if "\t" in line and path.suffix in (".c", ".h", ".py", ".sh", ".build"):
                yield f"{path}:{number}: a tab"


def c_one_line_comment():
    for path, text in tree.sources(*tree.C_SUFFIXES):
        code = LONG_COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
        code = re.sub(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", lambda m: " " * len(m.group()), code)
        for number, line in enumerate(code.splitlines(), 1):
            if "//" in line:
                yield f"{path}:{number}: a comment that begins with two slashes"


def c_pattern(pattern, text_of_problem, exempt=()):
    for path, text in tree.sources(*tree.C_SUFFIXES):
        if str(path).startswith(exempt):
            continue
        code = tree.c_code(text)
        for match in pattern.finditer(code):
            yield f"{path}:{tree.line_of(code, match.start())}: {text_of_problem}: {match.group().strip()}"


def c_goto():
    return c_pattern(re.compile(r"\bgoto\b"), "cleans up by goto instead of g_auto*")


def c_banned():
    return c_pattern(BANNED_CALLS, "a call that the house does not use")


def c_openers():
    return (problem for problem in c_pattern(OPENERS, "only src/io/mf-root.c opens paths (and mf-configfile.c the configuration)",
                                             exempt=("src/io/mf-root.c", "src/io/mf-configfile.c", "tests/", "src/cli/"))
            if problem.startswith("src/"))


def c_header_guard():
    for path, text in tree.sources(".h"):
        if not re.search(r"^#pragma once$|^#ifndef \w+_H\w*$", text, re.MULTILINE):
            yield f"{path}: has no include guard"


def unfinished():
    for path in tree.files():
        text = None if path.name in SIZE_EXEMPT else tree.read(path)
        for match in UNFINISHED.finditer(text or ""):
            if not (is_patch(path) and not patch_adds(text, match.start())):
                yield f"{path}:{tree.line_of(text, match.start())}: {match.group()}"


def patch_adds(text, offset):
    """True when this place of a patch is on a line that the patch adds."""
    return text[text.rfind("\n", 0, offset) + 1] == "+"


def licence():
    for path in tree.files():
        if path.name in LICENCE_EXEMPT or not (path.suffix in LICENCE_SUFFIXES or is_program(path)):
            continue
        head = "\n".join(tree.read(path).splitlines()[:3])
        match = re.search(r"SPDX-License-Identifier: (\S+)", head)
        wanted = "LGPL-2.1-or-later" if str(path).startswith(LGPL) else "GPL-2.0-or-later"
        if not match:
            yield f"{path}: no SPDX line in its first three lines"
        elif match.group(1) != wanted and path.suffix in tree.C_SUFFIXES:
            yield f"{path}: licence {match.group(1)}, expected {wanted}"


if __name__ == "__main__":
    tree.main([
        (f"files have at most {FILE_LINES_MAX} lines", file_size),
        (f"C functions have at most {FUNCTION_LINES_MAX} lines", c_function_size),
        (f"Python functions have at most {FUNCTION_LINES_MAX} lines", python_function_size),
        (f"shell functions have at most {FUNCTION_LINES_MAX} lines", shell_function_size),
        (f"C has at most {LINE_COLUMNS_MAX} columns", line_width),
        ("white space is tidy", white_space),
        ("C has no one-line comments", c_one_line_comment),
        ("C has no goto", c_goto),
        ("C calls nothing that the house bans", c_banned),
        ("only mf-root opens paths", c_openers),
        ("headers have an include guard", c_header_guard),
        ("nothing is left unfinished", unfinished),
        ("every source names its licence", licence),
    ])
