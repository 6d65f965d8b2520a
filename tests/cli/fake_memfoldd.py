#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""org.memfold1 with answers that a test chooses, for what a real daemon can't be brought to say.

Reads one JSON object from stdin: {"host": {figure: value}, "reasons": [[code, text, remedy]], "domains":
[{figure: value, "reasons": [...]}], "actions": [the same], "estimate": {"all": {...}, "groups": [...], "domains":
[...]}, "audit": {"host": {...}, "reasons": [...], "domains": [...], "violations": [{...}]}, "report": {"host": {...}, "series": {name: [[ago_msec, value]]}, "domains": [{..., "series": {...}}]}, "errors":
{method: [error name, message]}, "delays": {method: seconds}}; prints "ready", and then each changing call as one JSON line. test_cli.py checks its methods against the real interface.
"""

import json
import sys
import time

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

HOST = "org.memfold1.Host"
DOMAIN = "org.memfold1.Domain"
# Figures that are not of type t.
TYPES = {"priority": dbus.UInt32, "pid": dbus.Int64, "other_pid": dbus.Int64, "failed_count": dbus.UInt32, "looks_count": dbus.UInt32, "domains_count": dbus.UInt32, "sample_shift": dbus.UInt32,
         "saved_trend_bytes_per_hour": dbus.Int64, "gain_bytes_per_cpu_sec": dbus.Int64}


class Error(dbus.DBusException):
    """An error with a name of the test's choice."""

    include_traceback = False

    def __init__(self, name, message):
        super().__init__(message, name=name)


def figures(values):
    def typed(key, value):
        if isinstance(value, bool):
            return dbus.Boolean(value)
        if isinstance(value, int):
            return TYPES.get(key, dbus.UInt64)(value)
        return dbus.String(value)

    return dbus.Dictionary({key: typed(key, value) for key, value in values.items()
                            if key not in ("reasons", "series")}, signature="sv")


def reasons(rows):
    return dbus.Array([dbus.Struct(row, signature="sss") for row in rows], signature="(sss)")


def series(lines):
    return dbus.Dictionary({name: dbus.Struct([dbus.Array([p[i] for p in points], signature="t") for i in (0, 1)],
                                              signature="atat") for name, points in lines.items()},
                           signature="s(atat)")


class Fake:
    def __init__(self, scenario):
        self.scenario = scenario

    def may_fail(self, method):
        time.sleep(self.scenario.get("delays", {}).get(method, 0))
        if method in self.scenario.get("errors", {}):
            raise Error(*self.scenario["errors"][method])

    @staticmethod
    def record(*call):
        print(json.dumps(call), flush=True)


class Domain(dbus.service.Object):
    def __init__(self, bus, path, fake, values):
        super().__init__(bus, path)
        self.fake, self.values = fake, values

    @dbus.service.method(DOMAIN, in_signature="", out_signature="a{sv}a(sss)")
    def Describe(self):
        return figures(self.values), reasons(self.values["reasons"])

    @dbus.service.method(DOMAIN, in_signature="ss", out_signature="")
    def SetPolicy(self, attribute, value):
        self.fake.may_fail("SetPolicy")
        self.fake.record("SetPolicy", self.values["name"], attribute, value)


class Host(dbus.service.Object):
    def __init__(self, bus, fake):
        super().__init__(bus, "/org/memfold1")
        self.fake = fake
        self.objects = {}
        for number, values in enumerate(fake.scenario["domains"]):
            path = f"/org/memfold1/domain/{values.get('uuid', str(number)).replace('-', '_')}"
            self.objects[path] = Domain(bus, path, fake, values)

    @dbus.service.method(HOST, in_signature="", out_signature="a{sv}a(sss)a(a{sv}a(sss))")
    def Describe(self):
        self.fake.may_fail("Describe")
        scenario = self.fake.scenario
        domains = [dbus.Struct((figures(d), reasons(d["reasons"])), signature="a{sv}a(sss)")
                   for d in scenario["domains"]]
        return (figures(scenario["host"]), reasons(scenario["reasons"]),
                dbus.Array(domains, signature="(a{sv}a(sss))"))

    @dbus.service.method(HOST, in_signature="", out_signature="a{sv}a(sss)a(a{sv}a(sss))")
    def Plan(self):
        self.fake.may_fail("Plan")
        scenario = self.fake.scenario
        actions = [dbus.Struct((figures(a), reasons(a["reasons"])), signature="a{sv}a(sss)")
                   for a in scenario["actions"]]
        return (figures(scenario["host"]), reasons(scenario["reasons"]),
                dbus.Array(actions, signature="(a{sv}a(sss))"))

    @dbus.service.method(HOST, in_signature="s", out_signature="o")
    def FindDomain(self, name_or_uuid):
        for path, domain in self.objects.items():
            if name_or_uuid in (domain.values["name"], domain.values.get("uuid")):
                return path
        raise Error("org.memfold1.Error.NoDomain", f'no running domain "{name_or_uuid}"')

    @dbus.service.method(HOST, in_signature="asa{sv}", out_signature="a{sv}aa{sv}a(a{sv}a(sss))")
    def Estimate(self, names, options):
        self.fake.may_fail("Estimate")
        self.fake.record("Estimate", [str(name) for name in names], {str(k): int(v) for k, v in options.items()})
        estimate = self.fake.scenario["estimate"]
        for done in estimate.get("progress", []):
            self.EstimateProgress(dbus.UInt32(done))
        domains = [dbus.Struct((figures(d), reasons(d["reasons"])), signature="a{sv}a(sss)") for d in estimate["domains"]]
        return (figures(estimate["all"]), dbus.Array([figures(g) for g in estimate["groups"]], signature="a{sv}"),
                dbus.Array(domains, signature="(a{sv}a(sss))"))

    @dbus.service.method(HOST, in_signature="as", out_signature="a{sv}a(sss)a(a{sv}a(sss))aa{sv}")
    def Audit(self, names):
        self.fake.may_fail("Audit")
        self.fake.record("Audit", [str(name) for name in names])
        audit = self.fake.scenario["audit"]
        domains = [dbus.Struct((figures(d), reasons(d["reasons"])), signature="a{sv}a(sss)") for d in audit["domains"]]
        return (figures(audit["host"]), reasons(audit["reasons"]), dbus.Array(domains, signature="(a{sv}a(sss))"),
                dbus.Array([figures(v) for v in audit["violations"]], signature="a{sv}"))

    @dbus.service.signal(HOST, signature="u")
    def AuditProgress(self, done_permyriad):
        pass

    @dbus.service.method(HOST, in_signature="asa{sv}", out_signature="a{sv}a{s(atat)}a(a{sv}a{s(atat)})")
    def Report(self, names, options):
        self.fake.may_fail("Report")
        self.fake.record("Report", [str(name) for name in names], {str(k): int(v) for k, v in options.items()})
        report = self.fake.scenario["report"]
        domains = [dbus.Struct((figures(d), series(d["series"])), signature="a{sv}a{s(atat)}") for d in report["domains"]]
        return figures(report["host"]), series(report["series"]), dbus.Array(domains, signature="(a{sv}a{s(atat)})")

    @dbus.service.signal(HOST, signature="u")
    def EstimateProgress(self, done_permyriad):
        pass

    @dbus.service.method(HOST, in_signature="", out_signature="")
    def Reload(self):
        self.fake.may_fail("Reload")
        self.fake.record("Reload")


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    host = Host(bus, Fake(json.load(sys.stdin)))
    name = dbus.service.BusName("org.memfold1", bus)
    print("ready", flush=True)
    GLib.MainLoop().run()
    del host, name


if __name__ == "__main__":
    main()
