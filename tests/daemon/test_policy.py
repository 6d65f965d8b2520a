#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies over org.memfold1: read from the domains' XML, told, set, refused."""

import contextlib
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

NAMES = ("plain", "tenant", "bad", "optout", "hidden", "tab\tbed")
UUID = {name: f"{number}1111111-1111-4111-8111-111111111111" for number, name in enumerate(NAMES, 1)}
ELEMENT = '<memfold:policy xmlns:memfold="urn:memfold:policy:1" {}/>'
# Calls a method of memfoldd as another user, and prints the error's name, or "ok".
STRANGER = """
import sys
from gi.repository import Gio, GLib
bus = Gio.DBusConnection.new_for_address_sync(sys.argv[1], Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
    Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
arguments = {"SetPolicy": GLib.Variant("(ss)", ("merge", "off")),
             "Estimate": GLib.Variant("(asa{sv})", ([], {}))}.get(sys.argv[4])
try:
    bus.call_sync("org.memfold1", sys.argv[2], sys.argv[3], sys.argv[4], arguments, None,
                  Gio.DBusCallFlags(int(sys.argv[5])), 25000, None)
    print("ok")
except GLib.Error as error:
    print(Gio.DBusError.get_remote_error(error), error.message)
"""
# An Authority of polkit's that says yes to one action, if it may ask a person, and no to all else.
POLKIT = """
import sys
from gi.repository import Gio, GLib
XML = '''<node><interface name="org.freedesktop.PolicyKit1.Authority"><method name="CheckAuthorization">
<arg type="(sa{sv})" direction="in"/><arg type="s" direction="in"/><arg type="a{ss}" direction="in"/>
<arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="(bba{ss})" direction="out"/>
</method></interface></node>'''
def on_call(_bus, _sender, _path, _interface, _method, arguments, invocation):
    (kind, details), action, _details, flags, _id = arguments.unpack()
    good = kind == "system-bus-name" and details["name"].startswith(":") and flags == 1
    yes = good and action == sys.argv[2]
    invocation.return_value(GLib.Variant("((bba{ss}))", ((yes, False, {}),)))
bus = Gio.DBusConnection.new_for_address_sync(sys.argv[1], Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
    Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
bus.register_object("/org/freedesktop/PolicyKit1/Authority", Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0],
                    on_call)
Gio.bus_own_name_on_connection(bus, "org.freedesktop.PolicyKit1", 0, lambda *_: print("ready", flush=True), None)
GLib.MainLoop().run()
"""

# One that never answers, and tells what it is asked and what is taken back.
SILENT_POLKIT = POLKIT.replace("</method></interface>", """</method><method name="CancelCheckAuthorization">
<arg type="s" direction="in"/></method></interface>""").replace("""    (kind, details)""", """    print(_method, arguments.unpack()[-1], flush=True)
    return
    (kind, details)""")


@contextlib.contextmanager
def surroundings():
    """A memfoldd with domains of many policies, all running with a QEMU in /proc."""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        for number, name in enumerate(NAMES, 4711):
            host.add_qemu(number, name, UUID[name], ksm_kib=1024, saved_kib=512, rss_kib=40000)
        uri = session.write_node(
            f"{folder}/node.xml", session.domain("plain", UUID["plain"]),
            session.domain("tenant", UUID["tenant"],
                           ELEMENT.format('merge="on" group="tenant-a" priority="7" boost="on"')),
            session.domain("bad", UUID["bad"], ELEMENT.format('merge="sometimes"')),
            session.domain("optout", UUID["optout"], backing="<nosharepages/>"),
            session.domain("hidden", UUID["hidden"],
                           backing="<source type='memfd'/><access mode='shared'/>"),
            session.domain("tab&#9;bed", UUID["tab\tbed"], ELEMENT.format('merge="off"')))
        os.chmod(folder, 0o755)
        with memfoldd.Memfoldd(environment, folder, host.root, uri) as daemon:
            daemon.start()
            wait.until("all domains", lambda: set(daemon.describe()[2]) == set(NAMES), 20)
            wait.until("their figures",
                       lambda: all("saved_bytes" in d and d["reasons"] for d in daemon.describe()[2].values()),
                       20)
            yield daemon


def codes(found):
    return [code for code, *_ in found["reasons"]]


def expect_refusal(name, *arguments, call):
    try:
        call(*arguments)
    except memfoldd.Refused as refused:
        tap.equal(refused.name, name, f"error of {arguments}")
        return refused.message
    raise tap.Failed(f"{arguments} went well")


@tap.test
def every_domain_is_described(daemon):
    _, _, domains = daemon.describe()
    plain = domains["plain"]
    tap.equal({k: plain[k] for k in ("uuid", "merge", "priority", "boost", "nosharepages", "memory", "pid")},
              {"uuid": UUID["plain"], "merge": "auto", "priority": 100, "boost": False, "nosharepages": False,
               "memory": "anonymous", "pid": 4711}, "plain")
    tap.equal("group" in plain, False, "a group that the policy does not name")
    tenant = domains["tenant"]
    tap.equal((tenant["merge"], tenant["group"], tenant["priority"], tenant["boost"]),
              ("on", "tenant-a", 7, True), "tenant")
    tap.check("group-unenforced" in codes(tenant), f"reasons of tenant: {codes(tenant)}")
    tap.check(domains["optout"]["nosharepages"], "nosharepages is not told")
    tap.check("nosharepages" in codes(domains["optout"]), f"reasons: {codes(domains['optout'])}")
    tap.equal(domains["hidden"]["memory"], "memfd", "memory of the shared one")
    tap.check("memory-shared" in codes(domains["hidden"]), f"reasons: {codes(domains['hidden'])}")
    # libvirt allows such a name, and the domain's will counts all the same.
    tabbed = domains["tab\tbed"]
    tap.equal((tabbed["merge"], tabbed["pid"], tabbed.get("policy_error")), ("off", 4716, None), "a name with a tab")
    tap.check("\t" not in daemon.text(), "a tab in the log")


@tap.test
def figures_are_those_of_proc_with_their_units(daemon):
    found = daemon.domain("plain")
    wanted = {"mergeable_bytes": 65536 << 10, "resident_bytes": 40000 << 10, "merged_bytes": 1024 << 10,
              "merged_pages": 256, "saved_bytes": 512 << 10, "zero_bytes": 0, "profit_bytes": (1024 << 10) - 64 * 10000,
              "rmap_items_pages": 10000}
    tap.equal({k: found.get(k) for k in wanted}, wanted, "figures")
    tap.check(found["age_msec"] < 15000, f"age of the accounts: {found['age_msec']} ms")
    tap.equal(found["mergeable"], True, "mergeable")


@tap.test
def the_object_of_a_domain_says_the_same(daemon):
    path = daemon.path_of("tenant")
    tap.equal(path, "/org/memfold1/domain/" + UUID["tenant"].replace("-", "_"), "path by name")
    tap.equal(daemon.path_of(UUID["tenant"].upper()), path, "path by UUID")
    # What its QEMU can do is asked for meanwhile.
    wait.until("its QEMU to have been asked", lambda: "switch" in daemon.domain("tenant"), 20)
    figures, reasons = daemon.call(path, "Domain", "Describe")
    found = daemon.domain("tenant")
    tap.equal({**figures, "reasons": reasons, "age_msec": 0}, {**found, "age_msec": 0}, "Describe")


@tap.test
def what_is_unknown_is_absent(daemon):
    wait.until("the probe to end", lambda: "switch" in daemon.domain("plain"), 20)
    found = daemon.domain("plain")
    tap.equal(found["switch"], "none", "switch, without a QEMU to ask")
    tap.equal("mode" in found, False, "a mode that nobody told")


@tap.test
def a_refused_policy_is_told_with_its_value(daemon):
    found = daemon.domain("bad")
    tap.check("sometimes" in found["policy_error"], f"policy_error: {found['policy_error']}")
    tap.equal(found["merge"], "auto", "merge")
    tap.check("policy-invalid" in codes(found), f"reasons: {codes(found)}")
    tap.equal(daemon.logged('domain "bad": its policy is refused'), 1, "warnings in the log")


@tap.test
def a_policy_is_set_attribute_by_attribute(daemon):
    for attribute, value, wanted in (("merge", "off", "off"), ("group", "tenant-b", "tenant-b"),
                                     ("priority", "1000", 1000), ("boost", "on", True)):
        daemon.set_policy("plain", attribute, value)
        tap.equal(daemon.domain("plain")[attribute], wanted, f"{attribute} at once")
    found = daemon.domain("plain")
    tap.equal((found["merge"], found["group"], found["priority"], found["boost"]),
              ("off", "tenant-b", 1000, True), "all together")
    daemon.set_policy("plain", "group", "")
    tap.equal("group" in daemon.domain("plain"), False, "an empty group is none")
    wait.until("the verdict to follow", lambda: "policy" in codes(daemon.domain("plain")), 20)


@tap.test
def settings_at_the_same_time_are_all_kept(daemon):
    for number in range(5):
        wanted = (("merge", ("on", "off")[number % 2]), ("group", f"g{number}"), ("priority", str(number)),
                  ("boost", ("off", "on")[number % 2]))
        setters = [threading.Thread(target=daemon.set_policy, args=("plain", *one)) for one in wanted]
        for setter in setters:
            setter.start()
        for setter in setters:
            setter.join()
        found = daemon.domain("plain")
        tap.equal([(name, found[name]) for name, _ in wanted],
                  [("merge", wanted[0][1]), ("group", f"g{number}"), ("priority", number),
                   ("boost", number % 2 == 1)], f"round {number}")


@tap.test
def a_refused_policy_is_mended_by_setting_it(daemon):
    daemon.set_policy("bad", "merge", "on")
    found = daemon.domain("bad")
    tap.equal("policy_error" in found, False, "policy_error")
    tap.equal(found["merge"], "on", "merge")


@tap.test
def bad_values_are_refused_and_change_nothing(daemon):
    before = daemon.domain("tenant")
    for attribute, value in (("merge", "sometimes"), ("merge", ""), ("priority", "1001"), ("priority", "-1"),
                             ("group", "a b"), ("group", "x" * 65), ("boost", "maybe"), ("colour", "red"),
                             ("", "")):
        message = expect_refusal("Invalid", "tenant", attribute, value, call=daemon.set_policy)
        tap.check("tenant" in message, f"the message does not name the domain: {message}")
    after = daemon.domain("tenant")
    for key in ("merge", "group", "priority", "boost"):
        tap.equal(after[key], before[key], key)


@tap.test
def what_the_host_can_not_do_is_refused_with_a_remedy(daemon):
    for value in ("freeze", "zero"):
        message = expect_refusal("Unsupported", "tenant", "merge", value, call=daemon.set_policy)
        tap.check("tenant" in message and "merge=off" in message, f"no domain or remedy: {message}")
        tap.equal(daemon.domain("tenant")["merge"], "on", "merge")


@tap.test
def a_domain_that_does_not_run_is_not_found(daemon):
    message = expect_refusal("NoDomain", "nobody", call=daemon.path_of)
    tap.check("nobody" in message, f"the message: {message}")


def as_nobody(daemon, path, interface, method, interactive=True):
    """What a call by the user nobody comes to; polkit may ask a person only if it is interactive."""
    nobody = pwd.getpwnam("nobody")
    address = daemon.environment["DBUS_SYSTEM_BUS_ADDRESS"]
    done = subprocess.run([sys.executable, "-c", STRANGER, address, path, f"org.memfold1.{interface}", method,
                           "2" if interactive else "0"],
                          user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], text=True,
                          capture_output=True, check=False, timeout=60, cwd="/")
    return done.stdout.strip() or done.stderr


@tap.test
def a_word_that_is_too_long_is_refused_unread(daemon):
    for attribute, value in (("merge", "x" * 4097), ("y" * 4097, "on")):
        message = expect_refusal("Invalid", "tenant", attribute, value, call=daemon.set_policy)
        tap.check("longer than 4096" in message, f"message: {message[:200]}")
    for method in ("Estimate", "Audit"):
        message = expect_refusal("Invalid", ["x" * 256], call=lambda names, method=method: daemon.look(method, names))
        tap.check("longer than 255" in message, f"message of {method}: {message[:200]}")


@tap.test
def who_waits_for_no_answer_changes_nothing(daemon):
    before = daemon.domain("tenant")["merge"]
    daemon.tell(daemon.path_of("tenant"), "Domain", "SetPolicy", "(ss)", ("merge", {"on": "off"}.get(before, "on")))
    daemon.set_policy("tenant", "priority", "8")  # comes after it
    found = daemon.domain("tenant")
    tap.equal((found["merge"], found["priority"]), (before, 8), "merge and priority")


@tap.test
def others_than_root_may_read_and_not_change(daemon):
    if os.geteuid() != 0:
        tap.skip("only root can become another user")
    path = daemon.path_of("tenant")
    tap.equal(as_nobody(daemon, "/org/memfold1", "Host", "Describe"), "ok", "Describe as nobody")
    for where, interface, method in ((path, "Domain", "SetPolicy"), ("/org/memfold1", "Host", "Reload"),
                                     ("/org/memfold1", "Host", "Estimate")):
        said = as_nobody(daemon, where, interface, method)
        tap.check(said.startswith("org.memfold1.Error.Denied") and "root" in said, f"{method} as nobody: {said}")
    tap.equal(daemon.domain("tenant")["merge"], "on", "merge")


@tap.test
def polkit_may_let_others_change(daemon):
    if os.geteuid() != 0:
        tap.skip("only root can become another user")
    path = daemon.path_of("tenant")
    address = daemon.environment["DBUS_SYSTEM_BUS_ADDRESS"]
    with subprocess.Popen([sys.executable, "-c", POLKIT, address, "org.memfold1.set"], text=True,
                          stdout=subprocess.PIPE) as polkit:
        try:
            tap.equal(polkit.stdout.readline(), "ready\n", "the stand-in for polkit")
            said = as_nobody(daemon, "/org/memfold1", "Host", "Reload")
            tap.check(said.startswith("org.memfold1.Error.Denied"), f"Reload, which polkit refuses: {said}")
            said = as_nobody(daemon, "/org/memfold1", "Host", "Estimate")
            tap.check(said.startswith("org.memfold1.Error.Denied"), f"Estimate, which polkit refuses: {said}")
            said = as_nobody(daemon, path, "Domain", "SetPolicy", interactive=False)
            tap.check(said.startswith("org.memfold1.Error.Denied"), f"a call that allows no question: {said}")
            tap.equal(as_nobody(daemon, path, "Domain", "SetPolicy"), "ok", "SetPolicy, which polkit allows")
            tap.equal(daemon.domain("tenant")["merge"], "off", "merge")
            uid = pwd.getpwnam("nobody").pw_uid
            tap.equal(daemon.logged(f'"tenant": policy merge="off" was set for UID {uid}'), 1, "lines about it")
            tap.equal(daemon.logged(f"for UID {uid}"), 1, "lines about this user")
        finally:
            polkit.kill()


def strangers(daemon, stack, count):
    """So many who ask for a reload as the user nobody."""
    nobody = pwd.getpwnam("nobody").pw_uid
    command = [sys.executable, "-c", STRANGER, daemon.environment["DBUS_SYSTEM_BUS_ADDRESS"], "/org/memfold1",
               "org.memfold1.Host", "Reload", "0"]
    return [stack.enter_context(subprocess.Popen(command, user=nobody, extra_groups=[], text=True, stdout=subprocess.PIPE, cwd="/"))
            for _ in range(count)]


@tap.test
def few_wait_for_polkit_and_who_leaves_is_taken_back(daemon):
    if os.geteuid() != 0:
        tap.skip("only root can become another user")
    with contextlib.ExitStack() as stack:
        polkit = stack.enter_context(subprocess.Popen(
            [sys.executable, "-c", SILENT_POLKIT, daemon.environment["DBUS_SYSTEM_BUS_ADDRESS"], ""], text=True,
            stdout=subprocess.PIPE))
        stack.callback(polkit.kill)
        tap.equal(polkit.stdout.readline(), "ready\n", "the stand-in for polkit")
        callers = strangers(daemon, stack, 5)
        for caller in callers:
            stack.callback(caller.kill)
        wait.until("one to be turned away", lambda: [caller for caller in callers if caller.poll() is not None], 30)
        turned_away = next(caller for caller in callers if caller.poll() is not None)
        tap.check(turned_away.stdout.read().startswith("org.memfold1.Error.Busy"), "not because polkit is busy")
        asked = sorted(polkit.stdout.readline().split() for _ in range(4))
        tap.equal({method for method, _ in asked}, {"CheckAuthorization"}, "what polkit was asked")
        for caller in callers:
            caller.kill()
        taken_back = sorted(polkit.stdout.readline().split() for _ in range(4))
        tap.equal(taken_back, [["CancelCheckAuthorization", number] for _, number in asked], "what was taken back")
        callers = strangers(daemon, stack, 1)
        stack.callback(callers[0].kill)
        tap.equal(polkit.stdout.readline().split()[0], "CheckAuthorization", "the place is free again")


if __name__ == "__main__":
    tap.main(context=surroundings)
