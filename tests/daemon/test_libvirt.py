#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memfoldd and its libvirtd: events, restarts, freezes.  A libvirtd of our own, with its test driver."""

import contextlib
import os
import pathlib
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
import bus  # noqa: E402
import fakehost  # noqa: E402
import libvirtd  # noqa: E402
import memfoldd  # noqa: E402
import session  # noqa: E402
import tap  # noqa: E402
import wait  # noqa: E402

NAMESPACE = "urn:memfold:policy:1"
UUID = {"two": "22222222-2222-4222-8222-222222222222", "three": "33333333-3333-4333-8333-333333333333"}


@contextlib.contextmanager
def surroundings():
    """(a memfoldd, a libvirtd with the domain test)"""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        with session.Libvirtd(folder) as own:
            with memfoldd.Memfoldd(environment, folder, host.root, own.uri) as daemon:
                daemon.start()
                daemon.wait_log("connected to")
                yield daemon, own


class Hold:
    """Holds who describes a domain, between what it has read and what it says; of slow-libvirt.c."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def the_next(self):
        self.path.touch()

    def wait(self):
        wait.until("a domain to be described", lambda: not self.path.exists(), 20, interval_sec=0.01)

    def let_go(self):
        pathlib.Path(f"{self.path}.go").touch()


@contextlib.contextmanager
def held(own):
    """(a memfoldd of its own that is not started yet, what holds it)"""
    with tempfile.TemporaryDirectory(prefix="memfold-daemon-") as folder, bus.private() as environment:
        host = fakehost.FakeHost(folder)
        slow = {**environment, **memfoldd.preload("slow-libvirt"), "SLOW_LIBVIRT_MSEC": "0", "HOLD_XML": f"{folder}/hold",
                "CUT_ACTIVE": f"{folder}/cut"}
        with memfoldd.Memfoldd(slow, folder, host.root, own.uri) as daemon:
            yield daemon, Hold(f"{folder}/hold")


def names(daemon):
    return set(daemon.describe()[2])


def wait_names(daemon, *wanted, deadline_sec=30.0):
    wait.until(f"the domains to be {wanted}", lambda: names(daemon) == set(wanted), deadline_sec,
               show=lambda: names(daemon))


def set_metadata(own, name, attributes):
    flags = libvirtd.bindings().VIR_DOMAIN_AFFECT_LIVE
    kind = libvirtd.bindings().VIR_DOMAIN_METADATA_ELEMENT
    connection = own.open()
    element = f"<policy {attributes}/>" if attributes is not None else None
    connection.lookupByName(name).setMetadata(kind, element, "memfold" if element else None, NAMESPACE, flags)
    connection.close()


@tap.test
def the_domains_that_run_are_known(context):
    daemon, _own = context
    wait_names(daemon, "test")
    tap.equal(daemon.describe()[0]["libvirt_connected"], True, "libvirt_connected")


@tap.test
def a_changed_policy_is_taken_up_at_once(context):
    daemon, own = context
    set_metadata(own, "test", "merge='off' group='a'")
    started = time.monotonic()
    wait.until("the policy of test", lambda: daemon.domain("test")["merge"] == "off", 10, interval_sec=0.01)
    tap.diag(f"taken up after {int((time.monotonic() - started) * 1000)} ms")
    tap.equal(daemon.domain("test")["group"], "a", "group")
    set_metadata(own, "test", "merge='never'")
    wait.until("the refusal", lambda: "never" in daemon.domain("test").get("policy_error", ""), 10)
    tap.equal(daemon.domain("test")["merge"], "auto", "merge of a refused policy")
    set_metadata(own, "test", None)
    wait.until("the default", lambda: "policy_error" not in daemon.domain("test"), 10)


@tap.test
def domains_that_come_and_go_are_followed(context):
    daemon, own = context
    connection = own.open()
    three = connection.createXML(session.domain("three", UUID["three"]), 0)
    wait_names(daemon, "test", "three")
    path = daemon.path_of("three")
    three.destroy()
    wait_names(daemon, "test")
    try:
        daemon.call(path, "Domain", "Describe")
    except memfoldd.Refused:
        pass
    else:
        raise tap.Failed("the object of a domain that went is still there")
    connection.lookupByName("test").destroy()
    wait_names(daemon)
    connection.lookupByName("test").create()
    wait_names(daemon, "test")
    connection.close()


@tap.test
def libvirt_has_the_last_word_on_who_runs(context):
    """What the hook tells may have lain there while memfoldd stood still."""
    daemon, _own = context
    wait_names(daemon, "test")
    uuid = daemon.domain("test")["uuid"]
    daemon.hook("stopped", "test", uuid)
    wait_names(daemon, "test")
    daemon.hook("stopped", "test", uuid)
    daemon.hook("started", "test", uuid, policy="<memfold:policy xmlns:memfold='urn:memfold:policy:1' merge='off'/>")
    wait.until("libvirt's word of its policy", lambda: daemon.describe()[2].get("test", {}).get("merge") == "auto", 20)
    daemon.hook("started", "two", UUID["two"])
    tap.equal(names(daemon), {"test", "two"}, "domains")
    wait_names(daemon, "test")


@tap.test
def a_burst_of_changes_ends_with_the_last_one(context):
    daemon, own = context
    for number in range(50):
        set_metadata(own, "test", f"priority='{number}'")
    wait.until("the last priority", lambda: daemon.domain("test")["priority"] == 49, 20)


@tap.test
def a_look_that_began_before_takes_back_no_policy(context):
    _daemon, own = context
    with held(own) as (daemon, hold):
        daemon.start()
        wait_names(daemon, "test")
        hold.the_next()
        set_metadata(own, "test", "merge='on'")
        hold.wait()
        daemon.set_policy("test", "merge", "off")
        # The look after it, which would put all right.
        hold.the_next()
        hold.let_go()
        hold.wait()
        tap.equal(daemon.domain("test")["merge"], "off", "merge when the first look is over")
        hold.let_go()
    set_metadata(own, "test", None)


@tap.test
def a_cut_connection_says_nothing_of_a_domain(context):
    _daemon, own = context
    with held(own) as (daemon, _hold):
        daemon.start()
        wait_names(daemon, "test")
        cut = pathlib.Path(f"{daemon.folder}/cut")
        cut.touch()
        set_metadata(own, "test", "priority='77'")
        wait.until("the cut", lambda: not cut.exists(), 20)
        wait.until("the priority", lambda: daemon.domain("test")["priority"] == 77, 20)
    set_metadata(own, "test", None)


@tap.test
def an_old_end_does_not_void_a_look_at_the_next_start(context):
    _daemon, own = context
    with held(own) as (daemon, hold):
        daemon.start()
        wait_names(daemon, "test")
        connection = own.open()
        hold.the_next()
        three = connection.createXML(session.domain("three", UUID["three"]), 0)
        hold.wait()
        daemon.hook("stopped", "three", UUID["three"])
        hold.let_go()
        wait_names(daemon, "test", "three")
        three.destroy()
        connection.close()


@tap.test
def a_list_that_began_before_takes_back_no_policy(context):
    _daemon, own = context
    with held(own) as (daemon, hold):
        hold.the_next()
        daemon.start()
        hold.wait()
        # In no list, so that it goes when one is there.
        daemon.hook("started", "two", UUID["two"])
        set_metadata(own, "test", "merge='off'")
        wait.until("the policy", lambda: daemon.describe()[2].get("test", {}).get("merge") == "off", 20)
        hold.let_go()
        wait.until("the list", lambda: "two" not in names(daemon), 20)
        tap.equal(daemon.domain("test")["merge"], "off", "merge when the list is there")
    set_metadata(own, "test", None)


@tap.test
def a_killed_libvirtd_is_survived_and_found_again(context):
    daemon, own = context
    own.kill()
    wait.until("the loss to be told", lambda: not daemon.describe()[0]["libvirt_connected"], 20)
    reasons = [code for code, *_ in daemon.describe()[1]]
    tap.check("libvirt-away" in reasons, f"reasons: {reasons}")
    tap.equal(names(daemon), {"test"}, "domains while libvirt is away")
    try:
        daemon.set_policy("test", "merge", "off")
    except memfoldd.Refused as refused:
        tap.check("libvirt" in refused.message, f"message: {refused.message}")
    else:
        raise tap.Failed("a policy was set without libvirt")
    own.start()
    wait.until("the connection", lambda: daemon.describe()[0]["libvirt_connected"], 20)
    wait_names(daemon, "test")
    tap.equal(daemon.logged("connection to .* lost"), 1, "lines about the loss")
    set_metadata(own, "test", "merge='on'")
    wait.until("events to come again", lambda: daemon.domain("test")["merge"] == "on", 20)


@tap.test
def a_domain_that_went_meanwhile_is_forgotten(context):
    daemon, own = context
    connection = own.open()
    connection.createXML(session.domain("three", UUID["three"]), 0)
    connection.close()
    wait_names(daemon, "test", "three")
    own.kill()
    wait.until("the loss to be told", lambda: not daemon.describe()[0]["libvirt_connected"], 20)
    tap.check("three" in names(daemon), "three is forgotten before anybody can know")
    own.start()
    wait_names(daemon, "test")


@tap.test
def a_call_that_a_frozen_libvirtd_holds_ends(context):
    """A frozen one never closes its sockets; whoever waits on one must not wait for ever.

    Nor must whoever opens one: the new one comes when memfoldd already waits for an answer of the old one.
    """
    daemon, own = context
    daemon.set_policy("test", "priority", "1")
    refused = []

    def set_policy():
        try:
            daemon.set_policy("test", "priority", "2")
        except memfoldd.Refused as error:
            refused.append(error)

    own.freeze()
    setter = threading.Thread(target=set_policy)
    setter.start()
    try:
        wait.until("keepalive to notice", lambda: not daemon.describe()[0]["libvirt_connected"], 60)
        daemon.wait_log("does not answer; opening another", deadline_sec=60)
        os.makedirs(f"{own.folder}-new")
        with session.Libvirtd(f"{own.folder}-new") as new:
            os.unlink(own.socket)
            os.symlink(new.socket, own.socket)
            wait.until("the connection to a new one", lambda: daemon.describe()[0]["libvirt_connected"], 60)
            wait_names(daemon, "test")
            daemon.set_policy("test", "priority", "3")
            tap.equal(daemon.domain("test")["priority"], 3, "priority")
            setter.join(30)
            tap.equal(len(refused), 1, "settings that the frozen one held and were refused")
    finally:
        own.kill()
        os.unlink(own.socket)
        own.start()
    wait.until("the first one again", lambda: daemon.describe()[0]["libvirt_connected"], 30)
    wait_names(daemon, "test")


@tap.test
def a_frozen_libvirtd_holds_up_neither_answers_nor_the_end(context):
    daemon, own = context
    own.freeze()
    try:
        started = time.monotonic()
        tap.equal(names(daemon), {"test"}, "domains while libvirtd is frozen")
        tap.equal(daemon.hook("start", "x", UUID["three"]), {"ok": True}, "answer to the hook")
        tap.check(time.monotonic() - started < 5, "answers took more than five seconds")
        wait.until("keepalive to notice", lambda: not daemon.describe()[0]["libvirt_connected"], 60)
    finally:
        own.thaw()
    wait.until("the connection", lambda: daemon.describe()[0]["libvirt_connected"], 30)
    wait_names(daemon, "test")
    own.freeze()
    try:
        started = time.monotonic()
        tap.equal(daemon.stop(), 0, "exit status")
        tap.check(time.monotonic() - started < 10, "its end took more than ten seconds")
        tap.equal(daemon.logged("leaving while .* still wait"), 1, "lines about what it did not wait for")
    finally:
        own.thaw()


if __name__ == "__main__":
    tap.main(context=surroundings)
