#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Manual pages, --help, completion and the shipped configuration say the same.

Usage: test_manual.py MEMFOLD MEMFOLDD HOOK MANDIR SOURCE_ROOT [TEST...]
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402

MEMFOLD, MEMFOLDD, HOOK = (sys.argv.pop(1) for _ in range(3))
MANUAL, SOURCE = (pathlib.Path(sys.argv.pop(1)) for _ in range(2))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
PAGES = ("memfold.1", "memfoldd.8", "memfold.conf.5", "memfold-hook.8")


def page(name):
    text = (MANUAL / name).read_text(encoding="utf-8")
    return re.sub(r"\\f[BIR]", "", text).replace("\\-", "-")


def output(*command):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True,
                          stdin=subprocess.DEVNULL, timeout=30).stdout


def commands():
    overview = output(MEMFOLD, "help")
    return re.findall(r"^  ([a-z]+) ", overview.split("Commands:")[1].split("Options:")[0], re.MULTILINE)


def options(text):
    return set(OPTION.findall(text))


def documented(text):
    """The options of a page's OPTIONS section."""
    return options(re.search(r"^\.SH OPTIONS\n(.*?)^\.SH", text, re.DOTALL | re.MULTILINE).group(1))


def section(text, title):
    return re.search(rf"^\.SH \[?{title}\]?\n(.*?)^\.SH", text, re.DOTALL | re.MULTILINE).group(1)


@tap.test
def memfold_1_has_the_options_and_commands():
    in_help = options(output(MEMFOLD, "help"))
    for command in commands()[:-1]:
        of_command = options(output(MEMFOLD, command, "--help"))
        in_help |= of_command
        synopsis = [line for line in section(page("memfold.1"), "COMMANDS").splitlines()
                    if re.match(rf'\.BR? "?{command}\b', line)]
        tap.equal(len(synopsis), 1, f"paragraphs for {command}")
        tap.equal(options(synopsis[0]), of_command - {"--help", "--help-all"}, f"options of {command}")
    tap.equal(documented(page("memfold.1")), in_help, "options")
    for command in commands():
        tap.check(re.search(rf"^\.BR? .*\b{command}\b", section(page("memfold.1"), "SYNOPSIS"), re.MULTILINE),
                  f"{command} in the synopsis")


@tap.test
def memfold_1_has_the_json_of_each_command():
    text = section(page("memfold.1"), "JSON")
    for command in commands()[:-1]:
        told = re.findall(rf"^{command} --json prints\b", text, re.MULTILINE)
        tap.equal(len(told), int("--json" in options(output(MEMFOLD, command, "--help"))), f"JSON of {command}")


@tap.test
def memfoldd_8_has_the_options():
    in_help = options(output(MEMFOLDD, "--help"))
    tap.equal(documented(page("memfoldd.8")), in_help, "options")


@tap.test
def memfold_hook_8_has_the_options_and_operations():
    source = (SOURCE / "libvirt-hooks/mf-hook-args.c").read_text(encoding="utf-8")
    table = re.search(r"forwarded\[\] = \{(.*?)\};", source, re.DOTALL).group(1)
    told = re.findall(r'"(\w+)"', table)
    tap.check(len(told) >= 8, told)
    for operation in told:
        tap.check(re.search(rf"\b{operation}\b", section(page("memfold-hook.8"), "DESCRIPTION")), operation)
        tap.check(f"| `{operation}` |" in (SOURCE / "libvirt-hooks/README.md").read_text(encoding="utf-8"),
                  f"{operation} in the README's table")
    tap.equal(output(HOOK, "--version").split()[0], "memfold-hook", "--version")
    tap.equal(documented(page("memfold-hook.8")), {"--socket", "--config", "--version"}, "options")


@tap.test
def memfold_conf_5_has_the_keys_and_defaults():
    text, shipped, group = page("memfold.conf.5"), {}, None
    for line in (SOURCE / "src/daemon/memfold.conf").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            group = match.group(1)
        elif match := re.fullmatch(r"#([a-z-]+)=(.+)", line):
            shipped[group, match.group(1)] = match.group(2)
    found = {}
    for group in ("merge", "admission", "storm", "ksmd", "daemon"):
        body = section(text, group)
        for name, words in re.findall(r"^\.BR?I? ([a-z-]+)=[^\n]*\n(.*?)(?=^\.TP|\Z)", body,
                                      re.DOTALL | re.MULTILINE):
            default = re.search(r"Default\s+(?:\.BR )?(\S+?)(?: ?\.)?$", words.strip(), re.MULTILINE)
            tap.check(default, f"{name} has no default")
            found[group, name] = default.group(1)
    tap.equal(found, shipped, "keys and defaults of page and shipped file")


@tap.test
def the_shipped_configuration_is_valid_with_every_key():
    text = (SOURCE / "src/daemon/memfold.conf").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "memfold.conf")
        for content in (text, re.sub(r"^#(?=[a-z-]+=)", "", text, flags=re.MULTILINE)):
            path.write_text(content, encoding="utf-8")
            output(MEMFOLD, "config", "check", str(path))
        tap.equal(len(re.findall(r"^[a-z-]+=", path.read_text(encoding="utf-8"), re.MULTILINE)), 26, "keys")


@tap.test
def operations_md_has_every_reason():
    names = re.search(r"reason_names\[\w+\] = \{(.*?)\};", (SOURCE / "src/core/mf-plan.c").read_text(encoding="utf-8"),
                      re.DOTALL).group(1)
    codes = {*re.findall(r'= "([a-z-]+)"', names), "libvirt-away", "qemus-silent"}
    tap.check(len(codes) > 40, codes)
    text = (SOURCE / "docs/operations.md").read_text(encoding="utf-8")
    text = re.search(r"^## When something is wrong\n(.*?)^## ", text, re.DOTALL | re.MULTILINE).group(1)
    rows = re.findall(r"^\| (`[^|]*) \|[^|]+\|[^|]+\|$", text, re.MULTILINE)
    told = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    tap.equal((sorted(codes - told), sorted(told - codes)), ([], []), "codes without a row, rows without a code")


@tap.test
def the_completion_has_the_commands_and_options():
    script = SOURCE / "src/cli/memfold.bash"

    def complete(*words):
        program = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                   '_memfold_domains() { echo vm1; }; _memfold; printf "%s\\n" "${COMPREPLY[@]}"')
        return set(output("bash", "-c", program, "bash", str(script), *words).split())

    tap.equal(complete("memfold", ""), set(commands()) | {"--help", "--version"}, "commands")
    for command in commands()[:-1]:
        found = {word for word in complete("memfold", command, "") if word.startswith("-")}
        tap.equal(found, options(output(MEMFOLD, command, "--help")) - {"--help-all"}, f"options of {command}")
    tap.equal(complete("memfold", "status", "v"), {"vm1"}, "domains")
    tap.equal(complete("memfold", "set", ""), {"vm1", "--help"}, "domains to set")
    values = re.search(r"merge=(\S+)", output(MEMFOLD, "set", "--help")).group(1).split("|")
    tap.equal(complete("memfold", "set", "vm1", "merge", "="), set(values), "values of merge")


@tap.test
def the_completion_carries_out_no_name():
    """What completes to words of a command line is a name, whatever stands in it."""
    names = ["$(touch ran)", "`touch ran`", "a b", "x;touch ran", "it's"]
    program = ('. "$1"; _memfold_domains() { cat names; }; COMP_WORDS=(memfold "$2" ""); COMP_CWORD=2; _memfold; '
               'for word in "${COMPREPLY[@]}"; do case $word in -*) ;; *) eval "printf \'%s\\n\' $word" ;; esac; done')
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "names").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        for command in ("status", "why", "estimate", "audit", "report", "set"):
            done = subprocess.run(["bash", "-c", program, "bash", str(SOURCE / "src/cli/memfold.bash"), command], cwd=folder,
                                  text=True, capture_output=True, check=True)
            tap.equal(done.stdout.splitlines(), names, f"words after {command}")
        tap.equal(os.listdir(folder), ["names"], "files: somebody's name was carried out")


@tap.test
def pages_are_well_formed():
    if not shutil.which("groff"):
        tap.skip("groff is not installed")
    for name in PAGES:
        tap.check("@" not in re.sub(r"@(\{|system)", "", page(name)), f"{name} has a place that nobody filled")
        result = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", str(MANUAL / name)], text=True,
                                stderr=subprocess.PIPE, check=False)
        tap.equal((result.returncode, result.stderr), (0, ""), f"groff on {name}")


if __name__ == "__main__":
    tap.main()
