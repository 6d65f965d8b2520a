#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The host of tests/storm: guests, and memfoldd ("guarded") or a ksmd that nobody minds ("control").
#
#   host.sh guarded|control SECONDS SHARED-PAGES LEAVE-MIB NAME...
mode=$1
shift

tar -xf root.tar -C / && rm root.tar
mkdir -p /run /sys/fs/cgroup/machine
mount -t tmpfs tmpfs /run
mkdir -p /run/memfold /run/libvirt/qemu
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
echo +memory >/sys/fs/cgroup/machine/cgroup.subtree_control

if [ "$mode" = guarded ]; then
    LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu LD_PRELOAD=/test/pauser.so HOME=/root \
        /usr/sbin/memfoldd --config /test/memfold.conf --uri test:///test/node.xml >/run/memfoldd.log 2>&1 &
    memfoldd=$!
else
    for knob in pages_to_scan=5000 sleep_millisecs=10 smart_scan=0 run=1; do
        echo "${knob#*=}" >"/sys/kernel/mm/ksm/${knob%%=*}"
    done
fi
./director "$@"
status=$?
if [ "$mode" = guarded ]; then
    kill -0 "$memfoldd" && echo "RESULT memfoldd=1"
    sed 's/^/log: /' /run/memfoldd.log
fi
exit $status
