# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Our QEMU: the base's source from the archive, the series of qemu-patches/, a build that is kept in
# the cache under the hash of what it is made of, and a copy of it in /opt/memfold.

MF_QEMU_MARK=$MF_PREFIX/.memfold-qemu
MF_QEMU_MESON_MIN=1.5

# qemu_key: the hash of everything that decides what the build is.
qemu_key() {
    local -a patches
    mapfile -t patches < <(sed 's/[[:space:]]*#.*//; /^$/d' "$MF_TOP/qemu-patches/series")
    printf '%s-' "$MF_CODENAME"
    hash_files "$MF_TOP/qemu-patches/BASE" "$MF_TOP/qemu-patches/series" \
        "$MF_TOP/qemu-patches/CONFIGURE" "$MF_TOP/qemu-patches/build.sh" \
        "${patches[@]/#/$MF_TOP/qemu-patches/}"
}

# qemu_ready: it is built and installed, and stays so until setup, or what setup becomes, ends.
qemu_ready() {
    local key kept
    key=$(qemu_key)
    kept=$MF_CACHE/qemu/$key
    [ -e "$kept/complete" ] || qemu_build "$kept"
    opt_lock shared
    # Whose cache is another one may come in between, where the lock is let go.
    while [ "$(cat "$MF_QEMU_MARK" 2>/dev/null)" != "$key" ]; do
        opt_lock exclusive
        qemu_install "$kept" "$key"
        opt_lock shared
    done
}

# qemu_meson: a meson that QEMU accepts. Debian 12's is too old, so Debian 13's is unpacked beside it, for
# this build alone, by MF_MESON_PATH.
qemu_meson() {
    local tools=$MF_CACHE/tools/meson have
    MF_MESON_PATH=''
    have=$(meson --version 2>/dev/null || echo 0)
    [ "$(printf '%s\n' "$MF_QEMU_MESON_MIN" "$have" | sort -V | head -n 1)" != "$MF_QEMU_MESON_MIN" ] || return 0
    if [ ! -d "$tools" ]; then
        archive_open trixie
        rm -rf "$tools.new"
        mkdir -p "$tools.new/deb"
        run_logged qemu-meson "check the network" \
            "QEMU: fetching a newer meson" archive_apt_in "$tools.new/deb" apt-get -q download meson
        dpkg-deb -x "$tools.new/deb"/meson_*.deb "$tools.new"
        mv -T "$tools.new" "$tools"
    fi
    MF_MESON_PATH=$tools/usr/lib/python3/dist-packages
}

qemu_build() {
    local kept=$1 work=$MF_CACHE/qemu-build
    [ "$(free_mib "$MF_CACHE")" -ge 4000 ] || die "less than 4000 MiB free in $MF_CACHE" \
        "free some space, or set MEMFOLD_CACHE to a folder on a larger disk"
    source_fetch qemu-patches QEMU
    rm -rf "$work"
    mkdir -p "$work/dest"
    source_unpack QEMU "$work/src"
    qemu_meson
    run_logged qemu-build "read the log; a patch that does not apply is named there" \
        "QEMU: applying the series, building (a few minutes)" \
        env JOBS="$MF_JOBS" ${MF_MESON_PATH:+PYTHONPATH="$MF_MESON_PATH"} \
        "$MF_TOP/qemu-patches/build.sh" "$work/src" "$work/build" "$work/dest"
    [ -x "$work/dest$MEMFOLD_QEMU" ] || die "the build of QEMU left no $work/dest$MEMFOLD_QEMU" "read $MF_LOGS/qemu-build.log"
    basename "$MF_SOURCE" >"$work/dest/complete"
    rm -rf "$kept"
    mkdir -p "$MF_CACHE/qemu"
    touch "$work/dest"
    mv -T "$work/dest" "$kept"
    cache_prune "$MF_CACHE/qemu"
    remove_later "$work"
}

# qemu_owned: /opt/memfold is absent, or was put there by setup.
qemu_owned() {
    [ ! -e "$MF_PREFIX" ] || [ -e "$MF_QEMU_MARK" ]
}

# qemu_install KEPT KEY: a copy of the build; guests that run keep the binary they started from.
qemu_install() {
    need_root "our QEMU is installed to $MF_PREFIX"
    qemu_owned || die "$MF_PREFIX exists and is not memfold's" "move it away"
    say "QEMU: installing $(cat "$1/complete") + series to $MF_PREFIX"
    rm -rf "$MF_PREFIX.setup-new" "$MF_PREFIX.setup-old"
    cp -a "$1$MF_PREFIX" "$MF_PREFIX.setup-new"
    printf '%s\n' "$2" >"$MF_PREFIX.setup-new/${MF_QEMU_MARK##*/}"
    [ ! -e "$MF_PREFIX" ] || mv -T "$MF_PREFIX" "$MF_PREFIX.setup-old"
    mv -T "$MF_PREFIX.setup-new" "$MF_PREFIX"
    rm -rf "$MF_PREFIX.setup-old"
}

# qemu_remove: also what an installation leaves behind that is interrupted.
qemu_remove() {
    rm -rf "$MF_PREFIX.setup-new" "$MF_PREFIX.setup-old"
    if qemu_owned; then
        rm -rf "$MF_PREFIX"
    else
        say "note: $MF_PREFIX is not memfold's and stays"
    fi
}
