#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The life of our packages on a machine, as TAP: install, upgrade, remove, purge, and beside ksmtuned.
#
# Usage, as root of a machine that can be thrown away (tests/fresh/fresh-root.sh makes one): lifecycle.sh DIR
# DIR/new has the packages, DIR/old those of a lower version with another memfold.conf.
#
# shellcheck disable=SC2317 # what check and quietly are given is called by them

set -uo pipefail

DIR=$1
NAMES=(memfold memfold-hook libmemfold0 libmemfold-dev)
CONFIG=/etc/memfold/memfold.conf
HOOK=/etc/libvirt/hooks/qemu.d/50-memfold
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
number=0 failed=0

# check NAME COMMAND...: one result; what the command says is shown when it fails.
check() {
    local name=$1 output
    shift
    number=$((number + 1))
    if output=$("$@" 2>&1 </dev/null); then
        printf 'ok %d - %s\n' $number "$name"
    else
        failed=1
        printf 'not ok %d - %s\n' $number "$name"
        tail -n 25 <<<"$output" | sed 's/^/# /'
    fi
}

# quietly COMMAND...: what only prepares; without it nothing makes sense.
quietly() {
    local output
    if ! output=$("$@" 2>&1 </dev/null); then
        tail -n 25 <<<"$output" | sed 's/^/# /'
        printf 'Bail out! failed: %s\n' "$*"
        exit 2
    fi
}

apt() {
    apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}

# packages AGE: the files of the four.
packages() {
    local name
    for name in "${NAMES[@]}"; do
        compgen -G "$DIR/$1/${name}_*.deb"
    done
}

# version PACKAGE: as dpkg has it installed, or nothing.
version() {
    dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'
}

# listing: each file, link and folder of the machine, and what is in those of /etc; not what apt and dpkg keep.
listing() {
    {
        find / /run -xdev \( -path /memfold -o -path /tmp -o -path /var/cache -o -path /var/log -o -path /var/lib/apt \
            -o -path '/var/lib/dpkg/*-old' -o -path /var/lib/dpkg/lock\* \) -prune -o -printf '%y %m %p %l\n'
        find /etc -type f -not -name ld.so.cache -exec sha256sum {} +
    } | sort
}

are() {
    [ "$1" = "$2" ] || { printf 'found: %s\nwanted: %s\n' "$1" "$2"; return 1; }
}

versions_are() {
    local name
    for name in "${NAMES[@]}"; do
        are "$name $(version "$name")" "$name $1" || return
    done
}

absent() {
    local path
    for path in "$@"; do
        { [ ! -e "$path" ] && [ ! -L "$path" ]; } || { echo "$path is there"; return 1; }
    done
}

nothing_left() {
    diff "$WORK/before" <(listing)
}

# The programs say what they are, from where they are installed.
programs_run() {
    are "$(memfoldd --version)" "memfoldd $PROGRAM" && memfold --help | grep >/dev/null '^Usage' && memfold config check &&
        "$HOOK" --version | grep -qF "$PROGRAM" && are "$(readlink "$HOOK")" /usr/sbin/memfold-hook
}

files_are_there() {
    [ -z "$(dpkg --verify "${NAMES[@]}" | tee /dev/stderr)" ] && dpkg -L memfold | grep >/dev/null '/systemd/system/memfoldd.service$' &&
        ls /usr/share/dbus-1/system.d/org.memfold1.conf /usr/share/polkit-1/actions/org.memfold1.policy \
            /usr/share/bash-completion/completions/memfold /etc/memfold/memfold.conf.d \
            /etc/systemd/system/multi-user.target.wants/memfoldd.service
}

library_is_found() {
    are "$(pkg-config --modversion memfold)" "$PROGRAM" && pkg-config --libs memfold | grep >/dev/null -- -lmemfold &&
        ls "$(pkg-config --variable=includedir memfold)/memfold.h"
}

edit_config() {
    sed -i 's/^#default-group=.*/default-group=shared/' "$CONFIG"
    printf '[daemon]\ntick-msec=3000\n' >"$CONFIG.d/50-own.conf"
}

config_is_ours() {
    grep -qx 'default-group=shared' "$CONFIG" && grep -q 'version 0.0.1' "$CONFIG" && ls "$CONFIG.d/50-own.conf"
}

# What the new version ships lies beside it.
config_new_is_beside() {
    ls "$CONFIG.dpkg-dist" && ! grep -q 'version 0.0.1' "$CONFIG.dpkg-dist"
}

config_is_as_shipped() {
    dpkg-deb --fsys-tarfile "$(compgen -G "$DIR/new/memfold_*.deb")" | tar -xO ./etc/memfold/memfold.conf | cmp - "$CONFIG"
}

DEBTOR=6d656d66-6f6c-4000-8000-000000000001

# As memfoldd writes it: paused, and 512 MiB before its balloon was filled.
owe() {
    mkdir -p /run/memfold
    printf '[owed]\nversion=1\nboot-id=x\n\n[%s]\npid=7\nsuspended=true\nballoon-bytes=536870912\n' $DEBTOR >/run/memfold/owed
}

removal_tells_debts() {
    local said
    said=$(apt remove memfold)
    printf '%s\n' "$said"
    grep -q "virsh resume $DEBTOR$" <<<"$said" && grep -q "virsh setmem $DEBTOR 524288 --live$" <<<"$said"
}

purge_keeps_debts() {
    apt purge memfold && grep -q "$DEBTOR" /run/memfold/owed
}

# dpkg by itself says who is in the way, and changes neither.
dpkg_refuses() {
    local said
    said=$(dpkg -i "$(compgen -G "$DIR/new/libmemfold0_*.deb")" "$(compgen -G "$DIR/new/memfold_*.deb")" 2>&1) && return 1
    printf '%s\n' "$said"
    grep -q 'memfold conflicts with ksmtuned' <<<"$said" && [ -n "$(version ksmtuned)" ] && [ -z "$(version memfold)" ]
}

# apt says beforehand that one goes for the other. removes WHOM FOR...
removes() {
    local whom=$1 said
    shift
    said=$(apt -s install "$@")
    printf '%s\n' "$said"
    grep -q "^Remv $whom " <<<"$said"
}

mapfile -t old < <(packages old)
mapfile -t new < <(packages new)
if [ ${#old[@]} != ${#NAMES[@]} ] || [ ${#new[@]} != ${#NAMES[@]} ]; then
    echo "Bail out! packages are missing in $DIR"
    exit 2
fi
WORK=$(mktemp -d)
OLD=$(dpkg-deb -f "${old[0]}" Version) NEW=$(dpkg-deb -f "${new[0]}" Version) PROGRAM=${NEW%%[-+~]*}
# No init: nothing of what is installed may be started by hand instead.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

quietly apt update
mapfile -t needed < <(apt -s install "${new[@]}" | awk '$1 == "Inst" && $2 !~ /memfold/ { print $2 }')
quietly apt install "${needed[@]}"
listing >"$WORK/before"

check "the packages are installed, on a machine without an init" apt install "${old[@]}"
check "all four, in the version that was built" versions_are "$OLD"
check "every file is there, and the service is enabled" files_are_there
check "daemon, command and hook run, and the configuration is valid" programs_run
check "a program finds the library" library_is_found
edit_config
check "they are upgraded" apt -o Dpkg::Options::=--force-confdef install "${new[@]}"
check "all four, to the new version" versions_are "$NEW"
check "a configuration that was edited is kept, drop-ins as well" config_is_ours
check "the configuration that the new version ships is beside it" config_new_is_beside
check "daemon, command and hook run after the upgrade" programs_run
check "they are removed" apt remove "${NAMES[@]}"
check "no program and no hook is left" absent /usr/bin/memfold /usr/sbin/memfoldd /usr/sbin/memfold-hook "$HOOK"
check "the configuration is left until they are purged" config_is_ours
mkdir -p /run/memfold && : >/run/memfold/lock
check "what is left of them is purged" apt purge memfold
check "nothing is left of them" nothing_left

quietly apt install "${old[@]}"
quietly apt install "${new[@]}"
check "a configuration that was not edited is the new version's" config_is_as_shipped
quietly apt purge "${NAMES[@]}"
check "nothing is left when installed packages are purged" nothing_left

quietly apt install "${new[@]}"
owe
check "who is still paused, or short of memory, is told at the removal" removal_tells_debts
check "that is kept at the purge" purge_keeps_debts
# apt no longer knows those that are purged.
quietly dpkg --purge "${NAMES[@]}"
rm -rf /run/memfold

quietly apt install ksmtuned
check "dpkg says that ksmtuned is in the way, and leaves it" dpkg_refuses
quietly dpkg --purge libmemfold0
check "apt says that ksmtuned would be removed" removes ksmtuned "${new[@]}"
check "with that, memfold is installed" apt install "${new[@]}"
check "and ksmtuned is not any more" are "$(version ksmtuned)" ""
check "apt says that memfold would be removed for ksmtuned" removes memfold ksmtuned
printf '1..%d\n' $number
exit $failed
