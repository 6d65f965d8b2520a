#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The patch queues, as TAP: what can be seen without the source, and where the cache has the source, that
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

echo 1..4
number=0
for queue in qemu-patches kernel; do
    judge $((number + 1)) "$queue: the queue's form" tests/style/queue.sh lint "$queue"
    tarball=${MEMFOLD_CACHE:-/var/cache/memfold}/src/$(sed -n 's/^file: *//p' "$queue/BASE")
    name="$queue: applies and exports again"
    if [ -f "$tarball" ]; then
        judge $((number + 2)) "$name" tests/style/queue.sh verify "$queue" --tarball "$tarball"
    else
        echo "ok $((number + 2)) - $name # SKIP the base's source is not in the cache"
    fi
    number=$((number + 2))
done
