#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The first process of a test machine: brings up what a test may expect, runs the one program, and says
# on a serial port of its own how that ended. The console is the kernel's alone, so that its messages
# and the program's results do not mix within a line.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ulimit -c 0

# shellcheck source=/dev/null
. /test/settings

PORT=/dev/ttyS1
stty -F "$PORT" raw -echo

swap_on() {
    mkswap "$1" >/dev/null && swapon "$1"
}

[ -z "$ZRAM_MIB" ] || echo "${ZRAM_MIB}M" >/sys/block/zram0/disksize
if [ "$SWAP" = yes ]; then
    [ -z "$ZRAM_MIB" ] || swap_on /dev/zram0
    [ ! -b /dev/vda ] || swap_on /dev/vda
fi

# Nobody should take results for those of a setting that was not there.
set_knobs() {
    for knob in $KNOBS; do
        file=/sys/kernel/mm/ksm/${knob%%=*}
        if [ ! -e "$file" ] || ! echo "${knob#*=}" >"$file"; then
            echo "Bail out! $file does not take ${knob#*=}"
            return 1
        fi
    done
}

run_test() {
    for path in $NEEDS; do
        if [ ! -e "$path" ]; then
            echo "1..0 # SKIP this kernel has no $path"
            printf '\n@@ended 4\n'
            return
        fi
    done
    if ! set_knobs; then
        printf '\n@@ended 1\n'
        return
    fi
    cd /test || return
    sh ./command 2>&1 </dev/null
    printf '\n@@ended %s\n' $?
}

echo "@@started" >"$PORT"
run_test >"$PORT"
# Two times, for processes of the test that hold the port open do not keep the machine up.
poweroff -f
poweroff -f
