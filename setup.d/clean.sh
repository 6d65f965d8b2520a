# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Taking away what setup made.  Packages stay: they are the operator's.

# cache_is_ours: a folder is removed only when it looks like the cache that setup made.
cache_is_ours() {
    [ -e "$MF_CACHE/lock" ] && [ -d "$MF_CACHE/log" ] && [ "$MF_CACHE" != "$HOME" ] && [ "$MF_CACHE" != / ]
}

cmd_clean() {
    local running
    running=$(pgrep -f "^$MF_PREFIX/bin/qemu-system-x86_64 " || true)
    [ -z "$running" ] || die "guests still run on our QEMU (process $(printf '%s' "$running" | tr '\n' ' '))" \
        "end them first (virsh list; virsh destroy), or leave a kept demo with: tests/demo/demo.py --stop"
    if [ "$(id -u)" -eq 0 ]; then
        apparmor_clean
        qemu_remove
    fi
    rm -rf "$MF_TOP/build"
    if cache_is_ours; then
        rm -rf "$MF_CACHE"
    fi
    say "removed: $MF_TOP/build, $MF_CACHE; packages were left"
}
