#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: real guests under libvirt, merged, switched and explained.

It boots guests, lets memfoldd merge them, shows what is saved, asks QEMU itself, switches one
domain off while it runs, explains the one that cannot merge, and puts everything back.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import kept
import ksm
import libvirtd
import memfold
import rig
import scene
import tap
import wait
from screen import Screen, mib

RUNTIME = "/run/memfold"  # where the hook looks for the daemon
SWITCHED = "web-2"
EXPLAINED = "router"
ASKED = "web-1"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true",
                        help="leave guests and daemon running at the end; --stop ends them")
    parser.add_argument("--stop", action="store_true", help="end what --keep left, or a killed demo")
    parser.add_argument("--json", action="store_true",
                        help="tell the story on stderr and end with one JSON object on stdout")
    parser.add_argument("--emulator", metavar="PATH",
                        help="QEMU to use (default: ours if it is built, else the distribution's)")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=180.0,
                        help="how long to wait for each thing (default: 180)")
    return parser.parse_args()


class Demo:
    """One performance. `result` gathers what --json prints."""

    def __init__(self, options, screen):
        self.options = options
        self.screen = screen
        self.result = {}
        self.before = {}
        self.scene = None
        self.daemon = None
        self.ours = False

    def _show_table(self, final=False):
        self.screen.table(self.daemon.tell("status"), final)

    def boot(self):
        self.screen.step(f"starting {len(scene.LINUX)} Linux guests and {len(scene.SEEDED)} seeded "
                         f"ones ({self.scene.rig.accel}, {self.scene.rig.emulator})")
        started = time.monotonic()
        for name in self.scene.boot():
            layout = self.scene.layouts[name]
            kind = f"Linux {layout.release}" if layout.release else "seeded guest"
            self.screen.say(f"{scene.PREFIX + name:24} ready: {kind}")
        self.result["kernel_tells_merged"] = scene.kernel_tells_merged()
        self.result["boot_msec"] = int((time.monotonic() - started) * 1000)
        schema = self.scene.domains[ASKED].qmp("query-commands")
        self.ours = any(command["name"] == "query-memory-merge" for command in schema)
        if not self.ours:
            self.screen.say("This QEMU is stock: no query-memory-merge, and switching reaches guest "
                            "RAM only, not ROMs and tables.")

    def merge(self):
        self.screen.step("ksmd merges what is equal")
        started = time.monotonic()
        self.scene.wait_merged(self._show_table)
        self._wait_figures()
        self._show_table(final=True)
        self.result["merge_msec"] = int((time.monotonic() - started) * 1000)
        for name, _ in scene.SEEDED:
            wanted = self.scene.layouts[name].merged_pages
            self.screen.say(f"{scene.PREFIX + name}: {self.scene.seeded_merged_pages(name)} of the "
                            f"{wanted} pages that must be merged are")

    def _wait_figures(self):
        """Waits until memfold's figures are as new as the merging: they are read at intervals."""
        wait.until("memfold's figures to be those of the page tables", lambda: all(
            self._close(self._status(name).get("merged_pages"), scene.merged_pages(running))
            for name, running in self.scene.domains.items()), self.options.timeout, 0.5,
            show=lambda: self.daemon.tell("status"))

    @staticmethod
    def _close(said, counted):
        """Equal to a fiftieth; a kernel before 6.7 does not say what is merged now."""
        if said is None:
            return not scene.kernel_tells_merged()
        return abs(said - counted) * 50 <= counted

    def _status(self, name):
        return self.daemon.domain(scene.PREFIX + name)

    def measure(self):
        """Compares memfold's figures with the page tables, and notes both."""
        status = self.daemon.status()
        counted = self.scene.saved_bytes()
        entries = {d["name"]: d for d in status["domains"]}
        self.result["domains"] = [self._entry(name, entries) for name in self.scene.domains]
        total = sum(d["saved_bytes"] for d in self.result["domains"])
        self.result["host"] = {k: v for k, v in status["host"].items() if k != "reasons"}
        self.result["host"]["counted_bytes"] = counted
        self.result["sum_error_permyriad"] = abs(total - counted) * 10000 // max(counted, 1)
        self.screen.step(f"saved on this host: {mib(status['host']['saved_bytes'])}")
        self.screen.say(f"The domains' parts add up to {mib(total)}. Counted in the kernel's page "
                        f"tables it is {mib(counted)}: off by "
                        f"{self.result['sum_error_permyriad'] / 100:.2f} %.")

    def _entry(self, name, entries):
        said = entries[scene.PREFIX + name]
        wanted = ("name", "policy", "mode", "memory", "nosharepages", "mergeable", "merged_pages",
                  "saved_bytes", "reasons")
        entry = {key: said[key] for key in wanted if key in said}
        running = self.scene.domains[name]
        entry["counted_merged_pages"] = scene.merged_pages(running)
        entry["counted_ram_merged_pages"] = scene.ram_merged_pages(running)
        layout = self.scene.layouts[name]
        if name in dict(scene.SEEDED):
            entry["expected_pages"] = layout.merged_pages
            entry["found_pages"] = self.scene.seeded_merged_pages(name)
            entry["unique_merged_pages"] = self.scene.look(name, "unique").ksm
        return entry

    def ask(self):
        if not self.ours:
            return
        name = scene.PREFIX + ASKED
        self.screen.step(f"asking the QEMU of {name}: query-memory-merge")
        answer = self.scene.domains[ASKED].qmp("query-memory-merge", usage=True)
        self.result["query_memory_merge"] = answer
        blocks = sorted(answer["blocks"], key=lambda block: -block["size"])
        self.screen.say(json.dumps({**answer, "blocks": blocks[:1]}, indent=2))
        self.screen.say(f"(and {len(blocks) - 1} smaller blocks: "
                        f"{', '.join(block['id'] for block in blocks[1:])})")

    def switch(self):
        others = [name for name in self.scene.domains if name != SWITCHED]
        before = {n: scene.merged_pages(r) for n, r in self.scene.domains.items()}
        self.screen.step(f"switching {scene.PREFIX + SWITCHED} off while it runs")
        started = time.monotonic()
        self.screen.say(f"$ {self.scene.set_policy(SWITCHED, merge='off')}")
        self._wait_switch(lambda: self.scene.unmerged(SWITCHED, self.ours), "un-merged")
        self.result["switch_off_msec"] = int((time.monotonic() - started) * 1000)
        wait.until("memfold to say so", self._says_off, self.options.timeout, 0.5,
                   show=lambda: self._status(SWITCHED))
        self._show_table(final=True)
        after = {n: scene.merged_pages(r) for n, r in self.scene.domains.items()}
        bad = self.scene.domains[SWITCHED].console.verify()
        kept_pages = all(after[n] * 100 >= before[n] * 98 for n in others)
        self.result["switched_off"] = {
            "domain": scene.PREFIX + SWITCHED, "merged_pages_before": before[SWITCHED],
            "merged_pages": after[SWITCHED], "bad_pages": bad,
            "ram_merged_pages": scene.ram_merged_pages(self.scene.domains[SWITCHED]), "others_kept": kept_pages,
            "reported_merged_pages": self._status(SWITCHED).get("merged_pages")}
        self.screen.say(f"{scene.PREFIX + SWITCHED}: {before[SWITCHED]} merged pages before, "
                        f"{after[SWITCHED]} now; the guest verified its memory: {bad} wrong pages. "
                        f"The others {'kept' if kept_pages else 'LOST'} theirs.")

    def _says_off(self):
        said = self._status(SWITCHED)
        return said.get("mode") == "off" and (
            not self.ours or self._close(said.get("merged_pages"), 0))

    def _wait_switch(self, done, what):
        def look():
            self._show_table()
            return done()

        wait.until(f"{scene.PREFIX + SWITCHED} to be {what}", look, self.options.timeout, 0.5)

    def switch_back(self):
        self.screen.say(f"$ {self.scene.set_policy(SWITCHED, merge='on')}")
        self._wait_switch(lambda: scene.merged_pages(self.scene.domains[SWITCHED]) * 10 >=
                          self.result["switched_off"]["merged_pages_before"] * 9, "merged again")
        self._wait_figures()
        self._show_table(final=True)

    def explain(self):
        for name in (EXPLAINED, "vault"):
            said = self._status(name)
            self.screen.step(f"why {scene.PREFIX + name} does not merge")
            for reason in said["reasons"]:
                remedy = f"; {reason['remedy']}" if reason.get("remedy") else ""
                self.screen.say(f"{reason['code']}: {reason['text']}{remedy}")

    def verify(self):
        bad = {n: r.console.verify() for n, r in self.scene.domains.items()}
        self.result["bad_pages"] = sum(bad.values())
        self.screen.step(f"every guest verified its memory: {sum(bad.values())} wrong pages")
        used = self.result["daemon"] = self.daemon.usage()
        self.screen.say(f"memfoldd itself: {mib(used['resident_bytes'])} resident "
                        f"({mib(used['anonymous_bytes'])} of it its own), "
                        f"{used['cpu_permyriad'] / 100:.2f} % of one CPU")

    def check_knobs(self):
        after = ksm.knobs()
        changed = {k: [v, after.get(k)] for k, v in self.before.items() if after.get(k) != v}
        self.result["knobs_restored"] = not changed
        if changed:
            self.screen.step(f"KSM knobs that are NOT as before: {changed}")
            ksm.restore(self.before)
        else:
            self.screen.step(f"all {len(after)} KSM knobs are as before (run={after['run']})")


def missing():
    """What the demo cannot do without here, as a sentence, or None."""
    if os.geteuid() != 0:
        return "only root can start guests under qemu:///system and drive ksmd"
    if not os.path.isdir(ksm.DIRECTORY):
        return f"this kernel has no KSM: {ksm.DIRECTORY} is missing (CONFIG_KSM)"
    return None


def perform(demo):
    """The whole performance; everything started is ended on the way out, whatever happens."""
    options, screen = demo.options, demo.screen
    with contextlib.ExitStack() as stack:
        screen.step("preparing: KSM, libvirt, memfoldd")
        stack.enter_context(ksm.lock(
            waiting=lambda: screen.say("KSM is in use by another test; waiting for it to finish")))
        demo.before = ksm.knobs()
        stack.callback(demo.check_knobs)
        surroundings = stack.enter_context(
            rig.Rig(scene.PREFIX, options.emulator, memfold.program("50-memfold")))
        whose = "our own, for as long as the demo runs" if surroundings.libvirtd.own else "found"
        screen.say(f"libvirt {libvirtd.URI}: {whose}; accelerator: {surroundings.accel}")
        surroundings.refuse_strangers()
        folders = [surroundings.work]
        if not os.path.exists(RUNTIME):
            folders.append(RUNTIME)
            stack.callback(shutil.rmtree, RUNTIME, ignore_errors=True)
        note = {"folders": folders, "knobs": demo.before, "khugepaged_msec": ksm.khugepaged_msec()}
        kept.write(pids=[], kept=False, **note)
        stack.callback(kept.forget)
        stack.enter_context(ksm.without_khugepaged())
        demo.daemon = stack.enter_context(
            memfold.Memfold(surroundings.work, scene.CONFIG, RUNTIME))
        note["pids"] = demo.daemon.pids
        kept.write(kept=False, **note)
        demo.scene = scene.Scene(surroundings, demo.daemon, options.timeout)
        for part in (demo.boot, demo.merge, demo.measure, demo.ask, demo.switch, demo.switch_back,
                     demo.explain, demo.verify):
            part()
        if options.keep:
            kept.write(kept=True, **note)
            stack.pop_all()  # the contexts are left open, and outlive this process
            return
        screen.step("ending guests, daemon and what else was started")


def verdict(result):
    """What is wrong with the result, one sentence each; [] if the demo kept its promises."""
    wrong = []
    for entry in result["domains"]:
        if entry.get("found_pages") != entry.get("expected_pages"):
            wrong.append(f"{entry['name']} has {entry['found_pages']} of its equal pages merged, "
                         f"not {entry['expected_pages']}")
        if entry.get("nosharepages") and entry["counted_merged_pages"]:
            wrong.append(f"{entry['name']} has <nosharepages/> and has merged pages")
        if not entry["mergeable"] and entry["counted_ram_merged_pages"]:
            wrong.append(f"{entry['name']} cannot merge and has merged pages in its RAM")
    if result["sum_error_permyriad"] > 200:
        wrong.append("the domains' savings do not add up to the host's")
    off = result["switched_off"]
    if off["bad_pages"] or result["bad_pages"]:
        wrong.append("a guest found wrong pages in its memory")
    if not off["others_kept"]:
        wrong.append("switching one domain off un-merged others")
    if not result.get("knobs_restored", True):
        wrong.append("KSM knobs are not as before")
    return wrong


def hint_kept(screen, daemon):
    screen.step("the guests and memfoldd are left running (--keep)")
    screen.say(f"export DBUS_SYSTEM_BUS_ADDRESS={daemon.environment['DBUS_SYSTEM_BUS_ADDRESS']}\n"
               f"{memfold.program('memfold')} status\n"
               f"virsh -c {libvirtd.URI} list\n"
               f"log of memfoldd: {daemon.log}\n"
               f"{os.path.relpath(os.path.abspath(__file__))} --stop ends it all")


def clear_the_stage(options, screen):
    """Takes an earlier demo down if asked to, or if it was killed. Returns why the demo cannot
    begin, or None."""
    kept.claim(600, lambda: screen.say("Another demo is at work; waiting for it to end."))
    note = kept.read()
    if note is None:
        return None
    if note["kept"] and not options.stop:
        return "a demo was kept with --keep; --stop ends it"
    same = kept.take_down(note, scene.PREFIX)
    screen.say("An earlier demo was taken down; KSM knobs "
               + ("are as they were before it." if same else "were put back."))
    return None


def main():
    options = arguments()
    screen = Screen(sys.stderr if options.json else sys.stdout)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    demo = Demo(options, screen)
    error = None
    try:
        error = missing() or clear_the_stage(options, screen)
        if options.stop and not error:
            screen.say("Nothing of the demo is left.")
            return 0
        if not error:
            perform(demo)
            error = "; ".join(verdict(demo.result)) or None
    except KeyboardInterrupt:
        error = "interrupted; what was started was ended again"
    except tap.Skip as reason:
        error = str(reason)
    except (wait.Timeout, libvirtd.Unavailable, RuntimeError, OSError) as failure:
        error = str(failure)
    if error:
        screen.step(f"demo: {error}")
    elif options.keep:
        hint_kept(screen, demo.daemon)
    if options.json:
        print(json.dumps({**demo.result, **({"error": error} if error else {})}, indent=2))
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main())
