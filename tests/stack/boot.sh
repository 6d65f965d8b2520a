#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the host does before anybody asks it for something: file systems, memfold put where meson installs it, the
# bus, libvirt. memfoldd is started by who wants it (or by console.sh).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/lock
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
ulimit -c 0
hostname host

cp -a /memfold/root/. /
mkdir -p /etc/dbus-1/system.d /run/dbus /run/memfold-guest /var/log
cp /usr/local/share/dbus-1/system.d/org.memfold1.conf /etc/dbus-1/system.d/
ldconfig
cat >>/etc/libvirt/qemu.conf <<'END'
stdio_handler = "file"
security_driver = "none"
seccomp_sandbox = 0
END

dbus-daemon --system --fork --nopidfile
virtlogd -d
libvirtd -d
until virsh -q uri >/dev/null 2>&1; do
    sleep 0.1
done
