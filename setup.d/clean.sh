# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Taking away what setup made.  Packages stay: they are the operator's.

# cache_remove: what setup made there, and the folder when nothing else is in it.
cache_remove() {
    local name
    for name in "${MF_CACHE_NAMES[@]}" "$MF_CACHE_MARK"; do
        rm -rf "${MF_CACHE:?}/$name"
    done
    rmdir --ignore-fail-on-non-empty "$MF_CACHE"
}

cmd_clean() {
    local running
    opt_lock exclusive
    running=$(pgrep -f "^$MF_PREFIX/bin/qemu-system-x86_64 " || true)
    [ -z "$running" ] || die "guests still run on our QEMU (process $(printf '%s' "$running" | tr '\n' ' '))" \
        "end them first (virsh list; virsh destroy), or leave a kept demo with: tests/demo/demo.py --stop"
    if [ "$(id -u)" -eq 0 ]; then
        apparmor_clean
        qemu_remove
    fi
    rm -rf "$MF_TOP/build"
    cache_remove
    say "removed: $MF_TOP/build, and what setup made in $MF_CACHE; packages were left"
}
