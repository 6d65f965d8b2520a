#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# ./setup host: with "memfold.shell" on the kernel's command line, memfoldd and two guests of two tenants run, and
# there is a shell on the console. Leaving it turns the host off.
grep -qw memfold.shell /proc/cmdline || exit 0
export PATH=/memfold/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 TERM=vt100

memfoldd >/var/log/memfoldd.log 2>&1 &
for name in a1 b1; do
    virsh -q define "/memfold/host/$name.xml" && virsh -q start "$name"
done
cat <<'END'

A host of our own: virsh list, memfold status, memfold why a1, tail /var/log/memfoldd.log.
Guests: a1 of tenant-a, b1 of tenant-b (/memfold/host/*.xml). Leaving this shell turns the host off.

END
cd /root && setsid cttyhack sh -i
poweroff -f
