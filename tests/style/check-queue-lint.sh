#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Judges what judges the queues, as TAP: a queue with a known fault must not pass lint.
set -euo pipefail
cd "$(dirname "$0")/../.."

COUNT=0
FAILED=0
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

# faulty NAME COMMAND...: the command breaks a copy of the queue in one way.
faulty() {
    local name=$1
    shift
    COUNT=$((COUNT + 1))
    rm -rf "${SCRATCH:?}/queue"
    cp -r qemu-patches "$SCRATCH/queue"
    (cd "$SCRATCH/queue" && "$@")
    if tests/style/queue.sh lint "$SCRATCH/queue" >/dev/null 2>&1; then
        echo "not ok $COUNT - lint sees $name"
        FAILED=1
    else
        echo "ok $COUNT - lint sees $name"
    fi
}

patch=$(sed -n '/^[^#]/{p;q}' qemu-patches/series)
faulty "a patch that is gone" rm "$patch"
faulty "a patch that is not in the series" cp "$patch" 9999-other.patch
faulty "a missing trailer" sed -i '/^Upstream-Status:/d' "$patch"
faulty "an unknown status" sed -i 's/^Upstream-Status:.*/Upstream-Status: Soon/' "$patch"
faulty "a missing sign-off" sed -i '/^Signed-off-by:/d' "$patch"
faulty "a fix-up" sed -i 's/^Subject: \[PATCH\] /&fixup! /' "$patch"
faulty "a checksum that is none" sed -i 's/^sha256: ./sha256: x/' BASE
echo "1..$COUNT"
exit $FAILED
