#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `memfold` prints and how it ends, against an org.memfold1 whose answers are known.

Usage: test_cli.py MEMFOLD INTERFACE_XML [TEST...]
"""

import contextlib
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakedaemon  # noqa: E402
import tap  # noqa: E402

MEMFOLD = sys.argv.pop(1)
INTERFACE = sys.argv.pop(1)
OK, FAILED, USAGE, NO_DAEMON = range(4)
MIB = 1024 * 1024

VM1 = {
    "uuid": "11111111-2222-3333-4444-555555555555", "priority": 100, "name": "vm1", "merge": "auto", "group": "tenant-a",
    "boost": False, "mode": "on", "memory": "anonymous", "nosharepages": False,
    "mergeable": True, "pid": 4242, "merged_pages": 2083, "merged_bytes": 2083 * 4096,
    "saved_bytes": 5 * MIB + MIB // 2, "switch": "qmp",
    "reasons": [["policy", "the policy asks for auto", ""]],
}
VM2 = {
    "name": "vm2", "uuid": "22222222-2222-3333-4444-555555555555", "merge": "on", "priority": 7,
    "boost": True, "mode": "off", "memory": "shared", "mergeable": False, "nosharepages": False,
    "reasons": [["memory-shared", "its RAM is shared with other processes, and KSM merges only private "
                 "memory, however often one asks it to", "use <source type='anonymous'/>"],
                ["policy", "the policy asks for on", ""]],
}
SCENARIO = {
    "host": {"saved_bytes": 512 * MIB + 3 * MIB // 10, "ksm_run": 1, "ksmd_cpu_permyriad": 320,
             "ksmd_budget_permyriad": 1000, "cpu_budget_permyriad": 1000, "sum_error_permyriad": 1, "pages_to_scan_pages": 5000,
             "storm_need_bytes": 512 * MIB, "storm_have_bytes": 4096 * MIB},
    "reasons": [["budget", "pages_to_scan follows the CPU budget", ""]],
    "domains": [VM1, VM2],
    "actions": [
        {"kind": "domain-mode", "name": "vm2", "uuid": VM2["uuid"], "from": "on", "to": "off",
         "reasons": [["nosharepages", "its XML has <nosharepages/>", "remove it"]]},
        {"kind": "knob", "knob": "run", "to": "1", "reasons": [["domains", "1 domain can merge", ""]]},
    ],
}


def saves(read_mib, zero_mib, *saved_mib):
    return {"read_bytes": read_mib * MIB, "zero_bytes": zero_mib * MIB, "sample_shift": 0, **{
        key: mib * MIB for key, mib in zip(("saved_bytes", "saved_low_bytes", "saved_high_bytes"), saved_mib)}}


ESTIMATE = {
    "all": {"domains_count": 1, **saves(1024, 12, 300, 290, 310), "saved_now_bytes": 4 * MIB},
    "groups": [{"group": "tenant-a", "domains_count": 1, **saves(1024, 12, 200, 200, 200)}],
    "domains": [{"name": "vm1", "uuid": VM1["uuid"], "group": "tenant-a", **saves(1024, 12, 100, 99, 101), "reasons": []},
                {"name": "vm2", "uuid": VM2["uuid"], "group": "isolated",
                 "reasons": [["memory-shared", "its RAM is shared: not read", ""]]}],
}


class Host:
    """The bus of a test, and memfold run on it."""

    def __init__(self, environment):
        self.environment = environment

    def run(self, *words, **options):
        return subprocess.run([MEMFOLD, *words], env=self.environment, text=True, timeout=30, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              **options)

    @staticmethod
    def calls(descriptor):
        """What the fake has told so far; it tells of a call before it answers it."""
        with contextlib.suppress(BlockingIOError):
            return [json.loads(line) for line in os.read(descriptor, 65536).splitlines()]
        return []

    @contextlib.contextmanager
    def daemon(self, **changes):
        """The fake daemon; gives a function that returns the calls so far."""
        with fakedaemon.running(self.environment, {**SCENARIO, **changes}) as fake:
            os.set_blocking(fake.stdout.fileno(), False)
            yield lambda: self.calls(fake.stdout.fileno())


@contextlib.contextmanager
def surroundings():
    with bus.private() as environment:
        yield Host(environment)


def ended(result, code, what):
    tap.equal(result.returncode, code, f"exit code of {what} (stderr: {result.stderr.strip()})")


@tap.test
def the_fake_speaks_the_real_interface(host):
    def signatures(text):
        return {(i.get("name"), m.get("name")):
                tuple("".join(a.get("type") for a in m.findall("arg") if a.get("direction") == way)
                      for way in ("in", "out"))
                for i in xml.etree.ElementTree.fromstring(text).findall("interface")
                for m in i.findall("method")}

    real = signatures(pathlib.Path(INTERFACE).read_text(encoding="utf-8"))
    path = "/org/memfold1/domain/" + VM1["uuid"].replace("-", "_")
    for where in ("/org/memfold1", path):
        with host.daemon():
            found = subprocess.run(
                ["dbus-send", "--system", "--print-reply=literal", "--dest=org.memfold1", where,
                 "org.freedesktop.DBus.Introspectable.Introspect"],
                env=host.environment, text=True, stdout=subprocess.PIPE, check=True).stdout
        fake = {key: value for key, value in signatures(found).items() if key[0].startswith("org.memfold1")}
        tap.check(fake, f"the fake has no interface at {where}")
        wanted = {key: value for key, value in real.items() if key[0] in {i for i, _ in fake}}
        tap.equal(fake, wanted, f"methods of the fake at {where}")


@tap.test
def status_is_a_table_that_fits(host):
    with host.daemon():
        result = host.run("status")
    ended(result, OK, "status")
    lines = result.stdout.splitlines()
    tap.equal(max(map(len, lines)) <= 100, True, f"no line over 100 columns in:\n{result.stdout}")
    tap.equal(lines[:4],
              ["saved  512.3 MiB on this host; sum error of the domains 0.01 %",
               "storm  would take 512.0 MiB if all merged memory were written; 4096.0 MiB at hand",
               "ksmd   running; 3.20 % of one CPU, budget 10.00 %",
               "       pages_to_scan follows the CPU budget"], "the host's lines")
    title, first, second = lines[5:]
    tap.equal(title.split(), ["NAME", "POLICY", "MODE", "MERGED", "SAVED", "GROUP", "REASON"], "titles")
    for column, text in (("NAME", "vm1"), ("POLICY", "auto"), ("GROUP", "tenant-a"), ("REASON", "the policy")):
        tap.equal(first[title.index(column):].startswith(text), True, f"{column} in {first!r}")
    for column, text in (("MERGED", "8.1 MiB"), ("SAVED", "5.5 MiB")):
        tap.equal(first[:title.index(column) + len(column)].endswith(text), True, f"{column} in {first!r}")
    tap.equal(second.split()[:6], ["vm2", "on", "off", "-", "-", "-"], "absent figures of vm2")
    tap.equal(second.endswith("..."), True, "the long reason is cut")
    tap.check("\x1b" not in result.stdout, "an escape sequence in a pipe")


@tap.test
def status_json_has_exactly_the_known_figures(host):
    with host.daemon():
        result = host.run("status", "--json")
    ended(result, OK, "status --json")
    found = json.loads(result.stdout)

    def wanted(domain):
        policy = {key: domain[key] for key in ("merge", "group", "priority", "boost") if key in domain}
        rest = {key: value for key, value in domain.items() if key not in policy}
        texts = [{"code": c, "text": t, **({"remedy": r} if r else {})} for c, t, r in domain["reasons"]]
        return {**rest, "policy": policy, "reasons": texts}

    tap.equal(found["domains"], [wanted(VM1), wanted(VM2)], "domains")
    tap.equal(list(found["domains"][0])[:3], ["name", "uuid", "policy"], "the first members")
    tap.equal(list(found["domains"][0]["policy"]), ["merge", "group", "priority", "boost"], "policy's members")
    tap.equal(found["host"], {**SCENARIO["host"], "reasons": [
        {"code": "budget", "text": "pages_to_scan follows the CPU budget"}]}, "host")
    tap.equal(sorted(found), ["domains", "host"], "members")


@tap.test
def status_of_some_domains(host):
    with host.daemon():
        by_uuid = host.run("status", "--json", VM2["uuid"].upper())
        nobody = host.run("status", "vm1", "vm3")
    ended(by_uuid, OK, "status UUID")
    tap.equal([d["name"] for d in json.loads(by_uuid.stdout)["domains"]], ["vm2"], "domains")
    ended(nobody, FAILED, "status of nobody")
    tap.equal(nobody.stdout, "", "stdout")
    tap.equal(nobody.stderr, 'memfold: no running domain "vm3"; running: vm1, vm2\n', "stderr")


@tap.test
def status_of_an_idle_and_unknown_host(host):
    with host.daemon(host={}, reasons=[], domains=[]):
        text = host.run("status")
        data = host.run("status", "--json")
    ended(text, OK, "status")
    tap.equal(text.stdout, "saved  - on this host; sum error of the domains unknown\n"
              "ksmd   state unknown; unknown share of one CPU, budget unknown\n\nno domain runs\n", "stdout")
    tap.equal(json.loads(data.stdout), {"host": {"reasons": []}, "domains": []}, "JSON")


@tap.test
def foreign_text_can_not_drive_the_terminal(host):
    evil = {**VM1, "name": "v\x1b[2Jm", "reasons": [["policy-invalid", "value \x1b]0;owned\x07 refused\nnext", ""]]}
    action = {"kind": "domain-mode", "name": evil["name"], "from": "o\x1bn", "to": "off", "reasons": evil["reasons"]}
    with host.daemon(domains=[evil], actions=[action]):
        for words in (["status"], ["why", evil["uuid"]], ["status", "nobody"], ["plan"]):
            result = host.run(*words)
            printed = result.stdout + result.stderr
            tap.check(not re.search(r"[^\n\x20-\x7e]", printed), f"a control character of {words}: {printed!r}")


@tap.test
def long_and_wide_names_keep_the_columns(host):
    names = ["a" * 60, "\u865a\u62df\u673a" * 10, "e\u0301" * 24, "vm"]
    with host.daemon(domains=[{**VM1, "name": name, "uuid": str(n)} for n, name in enumerate(names)]):
        lines = host.run("status").stdout.splitlines()[6:]
    tap.equal([line.split()[0] for line in lines],
              ["a" * 21 + "...", "\u865a\u62df\u673a" * 3 + "\u865a...", "e\u0301" * 24, "vm"], "names")


@tap.test
def why_gives_reasons_and_remedies(host):
    with host.daemon():
        text = host.run("why", "vm2")
        data = host.run("why", "--json", "vm2")
        nobody = host.run("why", "vm9")
    ended(text, OK, "why")
    tap.check("  - " + VM2["reasons"][0][1] + "\n    remedy: use <source type='anonymous'/>\n" in text.stdout,
              f"reason and remedy in {text.stdout}")
    tap.check("memory  can not merge; - merged, - saved\n" in text.stdout, text.stdout)
    ended(data, OK, "why --json")
    tap.equal([r["code"] for r in json.loads(data.stdout)["reasons"]], ["memory-shared", "policy"], "codes")
    tap.equal([r["code"] for r in json.loads(data.stdout)["host_reasons"]], ["budget"], "the host's codes")
    tap.equal(json.loads(data.stdout)["nothing_is_wrong"], False, "vm2 can not merge")
    tap.check("the host\n  - pages_to_scan follows the CPU budget\n" in text.stdout, text.stdout)
    tap.check("nothing is wrong" not in text.stdout, text.stdout)
    ended(nobody, FAILED, "why of nobody")


@tap.test
def why_says_when_nothing_is_wrong(host):
    good = {**VM1, "mode": "on", "mergeable": True, "reasons": [["policy", "policy auto: merged", ""]]}
    rest = [["domains", "1 domain can merge", ""], ["resting", "ksmd gets 0.50 % of one CPU", ""]]
    for domain, reasons, wanted in (
            (good, rest, True),
            ({**good, "mode": "off"}, rest, False),
            ({**good, "mergeable": False}, rest, False),
            ({key: value for key, value in good.items() if key != "mergeable"}, rest, False),
            ({**good, "reasons": [*good["reasons"], ["memory-file", "only written pages", ""]]}, rest, False),
            ({**good, "reasons": []}, rest, False),
            (good, [], False),
            (good, [["uncovered", "nothing more is merged", "add swap"]], False),
            (good, [["other-manager", "ksmtuned runs", "stop it"]], False)):
        with host.daemon(domains=[domain], reasons=reasons):
            text = host.run("why", "vm1").stdout
            data = json.loads(host.run("why", "--json", "vm1").stdout)
        tap.equal((text.endswith("\nnothing is wrong\n"), data["nothing_is_wrong"]), (wanted, wanted),
                  f"{domain} with {reasons}")
        tap.equal(text.endswith("\nnot judged yet; ask again\n"), not (domain["reasons"] and reasons), text)


@tap.test
def plan_tells_each_action_and_why(host):
    with host.daemon() as calls:
        text, data = host.run("plan"), host.run("plan", "--json")
        tap.equal(calls(), [], "changing calls")
    ended(text, OK, "plan")
    tap.equal(text.stdout,
              "domain vm2: on -> off\n  - its XML has <nosharepages/>\n    remedy: remove it\n"
              "ksm run: unknown -> 1\n  - 1 domain can merge\n"
              "\nthe host\n  - pages_to_scan follows the CPU budget\n", "stdout")
    ended(data, OK, "plan --json")
    found = json.loads(data.stdout)
    tap.equal(found["actions"], [
        {"kind": "domain-mode", "name": "vm2", "uuid": VM2["uuid"], "from": "on", "to": "off",
         "reason": {"code": "nosharepages", "text": "its XML has <nosharepages/>", "remedy": "remove it"}},
        {"kind": "knob", "knob": "run", "to": "1", "reason": {"code": "domains", "text": "1 domain can merge"}},
    ], "actions")
    tap.equal(found["host"]["reasons"], [{"code": "budget", "text": "pages_to_scan follows the CPU budget"}], "host")


@tap.test
def plan_tells_who_gives_way(host):
    way = ["gives-way", "in a storm", ""]
    actions = [{"kind": "reclaim", "name": "vm1", "uuid": VM1["uuid"], "bytes": 64 * MIB, "reasons": [way]},
               {"kind": "suspend", "name": "vm2", "uuid": VM2["uuid"], "from": "running", "to": "paused", "reasons": [way]}]
    with host.daemon(actions=actions):
        text, data = host.run("plan"), host.run("plan", "--json")
    ended(text, OK, "plan")
    tap.equal(text.stdout, "domain vm1: reclaim 64.0 MiB\n  - in a storm\n"
              "domain vm2: running -> paused\n  - in a storm\n\nthe host\n"
              "  - pages_to_scan follows the CPU budget\n", "stdout")
    tap.equal([(a["kind"], a.get("bytes"), a.get("to")) for a in json.loads(data.stdout)["actions"]],
              [("reclaim", 64 * MIB, None), ("suspend", None, "paused")], "actions")


@tap.test
def plan_of_nothing_says_so_and_why(host):
    reason = ["unmanaged", "manage=false in memfold.conf", "set manage=true"]
    with host.daemon(actions=[], reasons=[reason]):
        text, data = host.run("plan"), host.run("plan", "--json")
    ended(text, OK, "plan")
    tap.equal(text.stdout, "nothing to do\nthe host\n  - manage=false in memfold.conf\n"
              "    remedy: set manage=true\n", "stdout")
    tap.equal(json.loads(data.stdout)["actions"], [], "actions")


@tap.test
def estimate_is_a_table_or_json(host):
    with host.daemon(estimate={**ESTIMATE, "progress": [0, 5000, 10000]}) as calls:
        text, data = host.run("estimate"), host.run("estimate", "--json", "--rate", "64", "vm1", "vm2")
        ended(text, OK, "estimate")
        ended(data, OK, "estimate --json")
        tap.equal(calls(), [["Estimate", [], {"rate_bytes": 256 * MIB}],
                            ["Estimate", ["vm1", "vm2"], {"rate_bytes": 64 * MIB}]], "calls")
    rows = [re.split(r"  +", line.strip()) for line in text.stdout.splitlines()]
    tap.equal(rows[0], ["MERGING", "GROUP", "READ", "ZEROES", "SAVES", "FROM", "TO"], "titles")
    tap.equal(rows[1][:2] + rows[1][4:], ["vm1", "tenant-a", "100.0 MiB", "99.0 MiB", "101.0 MiB"], "vm1 alone")
    tap.equal(rows[2], ["vm2", "isolated"] + ["-"] * 5, "vm2")
    tap.equal(rows[3][:2] + rows[3][4:5], ["(inside the group)", "tenant-a", "200.0 MiB"], "the group")
    tap.equal(rows[4][:1] + rows[4][4:], ["(the one that was read)", "300.0 MiB", "290.0 MiB", "310.0 MiB"], "all")
    tap.check("\nvm2: its RAM is shared: not read\n" in text.stdout, text.stdout)
    tap.check("merging saves 4.0 MiB on this host now" in text.stdout, text.stdout)
    tap.equal(text.stderr, "", "progress where nobody looks")
    found = json.loads(data.stdout)
    tap.equal(found["all"], {**ESTIMATE["all"], "reasons": []}, "all")
    tap.equal([g["saved_bytes"] for g in found["groups"]], [200 * MIB], "groups")
    tap.equal([(d["name"], d.get("saved_low_bytes"), [r["code"] for r in d["reasons"]]) for d in found["domains"]],
              [("vm1", 99 * MIB, []), ("vm2", None, ["memory-shared"])], "domains")


@tap.test
def estimate_is_refused_in_words(host):
    for word in ("0", "-1", "1048577", "fast"):
        ended(host.run("estimate", f"--rate={word}"), USAGE, f"--rate={word}")
    for name, text in (("Denied", "permission denied: not here"), ("Busy", "not here"), ("NoDomain", "not here")):
        with host.daemon(errors={"Estimate": [f"org.memfold1.Error.{name}", "not here"]}):
            result = host.run("estimate")
        ended(result, FAILED, f"estimate with {name}")
        tap.check(text in result.stderr and "GDBus" not in result.stderr, result.stderr)


@tap.test
def set_sends_each_attribute(host):
    with host.daemon() as calls:
        result = host.run("set", "vm1", "merge=off", "group=tenant-b", "priority=0", "boost=on")
        ended(result, OK, "set")
        tap.equal(calls(), [["SetPolicy", "vm1", a, v] for a, v in (
            ("merge", "off"), ("group", "tenant-b"), ("priority", "0"), ("boost", "on"))], "calls")
        ended(host.run("set", "vm1", "group="), OK, "set of no group")
        tap.equal(calls(), [["SetPolicy", "vm1", "group", ""]], "calls")
    tap.equal(result.stdout, "vm1: merge=off\nvm1: group=tenant-b\nvm1: priority=0\nvm1: boost=on\n", "stdout")


@tap.test
def set_with_one_bad_word_changes_nothing(host):
    bad = {"priority=on": "priority", "colour=red": "colour", "priority=1001": "1001", "group=a b": "a b", "boost": "boost",
           "=on": "=on", "group=,": ",", "priority=-1": "-1", "priority=0x10": "0x10"}
    with host.daemon() as calls:
        for word, named in bad.items():
            result = host.run("set", "vm1", "merge=off", word)
            ended(result, USAGE, f"set {word}")
            tap.check(named in result.stderr and result.stderr.count("\n") == 1, f"{word}: {result.stderr!r}")
            tap.equal(result.stdout, "", "stdout")
        ended(host.run("set", "vm1", "merge=of"), USAGE, "set merge=of")
        twice = host.run("set", "vm1", "merge=off", "merge=on")
        ended(twice, USAGE, "set of one attribute twice")
        tap.equal(calls(), [], "calls")


@tap.test
def errors_of_the_daemon_become_words(host):
    for name, code, text in (("org.memfold1.Error.Denied", FAILED, "permission denied: "),
                             ("org.memfold1.Error.Unsupported", FAILED, "not here"),
                             ("org.memfold1.Error.Failed", FAILED, "not here"),
                             ("org.example.Unheard", FAILED, "not here")):
        with host.daemon(errors={"SetPolicy": [name, "not here"], "Reload": [name, "not here"]}):
            for words in (["set", "vm1", "merge=off"], ["reload"]):
                result = host.run(*words)
                ended(result, code, f"{words[0]} with {name}")
                tap.check(text in result.stderr and "not here" in result.stderr, result.stderr)
                tap.check("GDBus" not in result.stderr and name not in result.stderr, result.stderr)
    with host.daemon():
        result = host.run("set", "vm3", "merge=off")
    ended(result, FAILED, "set of nobody")
    tap.check('"vm3"' in result.stderr, result.stderr)


@tap.test
def reload_asks_the_daemon(host):
    with host.daemon() as calls:
        ended(host.run("reload"), OK, "reload")
        tap.equal(calls(), [["Reload"]], "calls")


@tap.test
def no_daemon_is_exit_code_3(host):
    for words in (["status"], ["status", "--json"], ["why", "vm1"], ["plan"], ["top"], ["estimate"], ["audit"], ["report"],
                  ["set", "vm1", "merge=on"], ["reload"]):
        result = host.run(*words)
        ended(result, NO_DAEMON, words)
        tap.equal(result.stdout, "", "stdout")
        tap.check("systemctl start memfoldd" in result.stderr, result.stderr)
    lost = Host({**host.environment, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/bus"})
    ended(lost.run("status"), NO_DAEMON, "status without a bus")


@tap.test
def an_answer_of_another_type_is_refused(host):
    """A daemon of another version, say: its answer is not looked into."""
    text = ("import sys, dbus, dbus.service, dbus.mainloop.glib\nfrom gi.repository import GLib\n"
            "dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)\n"
            "class Host(dbus.service.Object):\n"
            "    @dbus.service.method('org.memfold1.Host', out_signature='s')\n"
            "    def Describe(self):\n        return 'hello'\n"
            "b = dbus.SystemBus(); h = Host(b, '/org/memfold1'); n = dbus.service.BusName('org.memfold1', b)\n"
            "print('ready', flush=True); GLib.MainLoop().run()\n")
    with subprocess.Popen([sys.executable, "-c", text], env=host.environment, text=True,
                          stdout=subprocess.PIPE) as fake:
        try:
            tap.equal(fake.stdout.readline(), "ready\n", "first line")
            ended(host.run("status"), FAILED, "status")
        finally:
            fake.terminate()


@tap.test
def usage_errors_are_exit_code_2(host):
    for words in ([], ["stats"], ["status", "--colour"], ["set"], ["set", "vm1"], ["why"], ["why", "a", "b"], ["plan", "vm1"],
                  ["doctor", "x"], ["config"], ["config", "show"], ["reload", "now"], ["help", "stats"]):
        result = host.run(*words)
        ended(result, USAGE, words)
        tap.equal(result.stdout, "", f"stdout of {words}")
        tap.check(result.stderr, f"{words} says nothing")


@tap.test
def every_command_has_help(host):
    overview = host.run("help")
    ended(overview, OK, "help")
    tap.equal(host.run("--help").stdout, overview.stdout, "--help")
    commands = re.findall(r"^  ([a-z]+) ", overview.stdout.split("Commands:")[1].split("Options:")[0], re.M)
    tap.equal(commands, ["status", "why", "plan", "top", "estimate", "audit", "report", "set", "doctor", "config", "reload", "help"],
              "commands")
    for command in commands[:-1]:
        by_option, by_word = host.run(command, "--help"), host.run("help", command)
        ended(by_option, OK, f"{command} --help")
        tap.equal(by_word.stdout, by_option.stdout, f"help {command}")
        tap.check(f"memfold {command} [OPTION" in by_option.stdout, by_option.stdout)
    tap.check(re.fullmatch(r"memfold \d+\.\d+\.\d+\n", host.run("--version").stdout), "--version")


@tap.test
def config_check_reads_drop_ins_and_needs_no_daemon(host):
    with tempfile.TemporaryDirectory() as folder:
        main = pathlib.Path(folder, "memfold.conf")
        drop_in = pathlib.Path(folder, "memfold.conf.d", "10-budget.conf")
        drop_in.parent.mkdir()
        ended(host.run("config", "check", str(main)), FAILED, "config check of no file")
        main.write_text("[ksmd]\ncpu-budget-permyriad=500\n", encoding="utf-8")
        ended(host.run("config", "check", str(main)), OK, "config check")
        for text, named in (("[ksmd]\ncpu-budget-permyriad=0\n", "cpu-budget-permyriad"),
                            ("[ksmd]\nspeed=9\n", "speed"), ("[other]\n", "other"), ("ksmd\n", "10-budget.conf")):
            drop_in.write_text(text, encoding="utf-8")
            result = host.run("config", "check", str(main))
            ended(result, FAILED, f"config check with {text!r}")
            tap.check(named in result.stderr and "10-budget.conf" in result.stderr, result.stderr)
            tap.equal(result.stdout, "", "stdout")


@tap.test
def a_terminal_gets_its_own_width(host):
    """The reason is not cut where there is room for it."""
    with host.daemon():
        leader, follower = pty.openpty()
        subprocess.run(["stty", "cols", "250"], stdin=follower, check=True)
        with subprocess.Popen([MEMFOLD, "status"], env=host.environment, stdout=follower) as program:
            os.close(follower)
            output = b""
            with contextlib.suppress(OSError):  # EIO: the other end is closed
                while chunk := os.read(leader, 4096):
                    output += chunk
            tap.equal(program.wait(), OK, "exit code")
        os.close(leader)
    tap.check(VM2["reasons"][0][1] in output.decode(), f"the whole reason in {output!r}")


if __name__ == "__main__":
    tap.main(context=surroundings)
