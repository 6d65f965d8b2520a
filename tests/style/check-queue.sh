#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The patch queue, as TAP: what can be seen without the source, and where the cache has the source, that
# the series applies exactly, exports to the same bytes and passes the host project's checkpatch.

set -euo pipefail
cd "$(dirname "$0")/../.."

# judge NUMBER NAME COMMAND...
judge() {
    local number=$1 name=$2 output
    shift 2
    if output=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        printf '%s\n' "$output" | tail -n 30 | sed 's/^/# /'
    fi
}

echo 1..2
judge 1 "the queue's form" tests/style/queue.sh lint qemu-patches
tarball=${MEMFOLD_CACHE:-/var/cache/memfold}/src/$(sed -n 's/^file: *//p' qemu-patches/BASE)
if [ -f "$tarball" ]; then
    judge 2 "the queue applies and exports again" tests/style/queue.sh verify qemu-patches --tarball "$tarball"
else
    echo "ok 2 - the queue applies and exports again # SKIP the base's source is not in the cache"
fi
