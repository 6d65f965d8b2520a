# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guests' images: our own tiny guest, and a Linux kernel of the archive with a small init.
# Built once per content of tests/guest; the kernel's package is kept in the cache.

guest_dir() {
    local -a files
    mapfile -t files < <(find "$MF_TOP/tests/guest" -type f -not -name '*.pyc' | LC_ALL=C sort)
    printf '%s/guest/%s' "$MF_CACHE" "$(hash_files "${files[@]}")"
}

guest_ready() {
    local dir
    dir=$(guest_dir)
    [ ! -e "$dir/complete" ] || return 0
    rm -rf "$dir.new"
    mkdir -p "$dir.new"
    run_logged guest "read the log; fetching the guest's kernel needs the network" \
        "guest images: fetching a kernel, building" "$MF_TOP/tests/guest/build.sh" "$dir.new"
    touch "$dir.new/complete"
    rm -rf "$dir"
    mv -T "$dir.new" "$dir"
    cache_prune "$MF_CACHE/guest"
}
