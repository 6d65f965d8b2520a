#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs a command in a clone of this repository inside a fresh, minimal root of Debian 12 or 13: no init,
# no sudo, nothing installed.  The root has its own processes, /dev and /run, and shares with the host
# what a host has only one of: the kernel's KSM, its cgroups and its network.

set -euo pipefail

MF_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
KSM_LOCK=/run/memfold-ksm.lock
# What a plain "su" leaves out; debootstrap is there.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

usage() {
    cat <<'END'
Usage: fresh-root.sh [--cache DIR] [--keep] [bookworm|trixie] COMMAND...

  fresh-root.sh './setup demo && ./setup test'      on Debian 12
  fresh-root.sh trixie ./setup test unit            on Debian 13

  --cache DIR  give the root this folder as /var/cache/memfold, instead of an empty one of its own
  --keep       leave the root's files behind, and say where

The base of the root is made once (debootstrap, from the mirror and the keyring of this machine's apt)
and kept with the packages it downloads in ${MEMFOLD_CACHE:-/var/cache/memfold}/fresh.
END
}

fail() {
    printf 'fresh-root: %s\n' "$*" >&2
    exit 1
}

# mirror: the URI from which this machine's apt takes Debian itself; of a list of mirrors the first, for debootstrap
# knows no lists.
mirror() {
    local uri
    # shellcheck disable=SC2016
    uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian|Debian|//p' | sed -n 1p)
    case $uri in
    mirror+file:*) awk '!/^[ \t]*(#|$)/ { print $1; exit }' "/${uri#mirror+file:}" ;;
    *) printf '%s\n' "$uri" ;;
    esac
}

# base_make SUITE: the tar file of a minimal root, with the host's way to the network for apt.
base_make() {
    local suite=$1 uri work
    local -a more=()
    uri=$(mirror)
    [ -n "$uri" ] || fail "apt knows no Debian mirror; run: apt-get update"
    command -v debootstrap >/dev/null || fail "debootstrap is not installed; run: apt-get install debootstrap"
    # A minimal root has nothing to tell a true mirror by.
    [[ $uri != https:* ]] || more=(--include=ca-certificates)
    work=$(mktemp -d "$STORE/base.XXXXXX")
    debootstrap --variant=minbase "${more[@]}" --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$suite" "$work" "$uri" >"$STORE/$suite.log" 2>&1 ||
        fail "debootstrap failed; its log: $STORE/$suite.log"
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$work/etc/apt/apt.conf.d/00host" || true
    rm -rf "${work:?}"/var/cache/apt/archives/*.deb "${work:?}"/dev/*
    tar -C "$work" -cf "$STORE/$suite.tar.new" .
    mv "$STORE/$suite.tar.new" "$STORE/$suite.tar"
    rm -rf "$work"
}

# dev_make ROOT: a /dev of its own, with terminals that belong to this root alone.
dev_make() {
    local dev=$1/dev node
    mount -t tmpfs -o mode=755 dev "$dev"
    while read -r node mode type major minor; do
        mkdir -p "$(dirname "$dev/$node")"
        mknod -m "$mode" "$dev/$node" "$type" "$major" "$minor"
    done <<'END'
null 666 c 1 3
zero 666 c 1 5
full 666 c 1 7
random 666 c 1 8
urandom 666 c 1 9
tty 666 c 5 0
kvm 660 c 10 232
net/tun 666 c 10 200
END
    mkdir "$dev/pts" "$dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$dev/pts"
    mount -t tmpfs -o mode=1777 shm "$dev/shm"
    ln -s pts/ptmx "$dev/ptmx"
    ln -s /proc/self/fd "$dev/fd"
    ln -s fd/0 "$dev/stdin"
    ln -s fd/1 "$dev/stdout"
    ln -s fd/2 "$dev/stderr"
}

# root_enter ROOT COMMAND: as the first process of new namespaces.  The lock that KSM users hold is the host's.
root_enter() {
    local root=$1 command=$2
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    dev_make "$root"
    mount -t tmpfs -o mode=755 run "$root/run"
    mkdir -p "$root/run/lock" "$root/var/cache/apt/archives" "$root/var/cache/memfold"
    (umask 077 && : >>"$KSM_LOCK" && : >"$root$KSM_LOCK")
    mount --bind "$KSM_LOCK" "$root$KSM_LOCK"
    mount --bind "$ARCHIVES" "$root/var/cache/apt/archives"
    [ -z "$CACHE" ] || mount --bind "$CACHE" "$root/var/cache/memfold"
    cd "$root"
    mkdir -p .host
    pivot_root . .host
    cd /memfold
    umount -l /.host
    rmdir /.host
    hostname fresh
    # Not exec: the first process must stay to reap the orphans of others.
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        TERM="${TERM:-dumb}" ${CI:+CI="$CI"} bash -c "$command" &
    wait $!
}

# tree_clone DIR: also of a tree that belongs to another user, who it is that asked for this. What the command line
# says of that does not reach the end of git that reads the tree, so it is a configuration of its own.
tree_clone() {
    local config
    config=$(mktemp)
    printf '[safe]\n\tdirectory = *\n' >"$config"
    GIT_CONFIG_GLOBAL=$config git clone -q --no-hardlinks "$MF_TOP" "$1"
    rm "$config"
}

# root_make SUITE: unpacks the base and clones the repository into it.
root_make() {
    local suite=$1
    [ -s "$STORE/$suite.tar" ] || base_make "$suite"
    ROOT=$(mktemp -d "${TMPDIR:-/var/tmp}/memfold-fresh.XXXXXX")
    trap root_remove EXIT
    tar -C "$ROOT" -xpf "$STORE/$suite.tar"
    chmod 755 "$ROOT"
    cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
    tree_clone "$ROOT/memfold"
}

root_remove() {
    if [ "$KEEP" = yes ]; then
        printf 'fresh-root: kept %s\n' "$ROOT" >&2
    else
        rm -rf --one-file-system "$ROOT"
    fi
}

main() {
    local suite=bookworm
    CACHE='' KEEP=no
    while [ $# -gt 0 ]; do
        case $1 in
        --cache) CACHE=$(realpath "${2:?--cache needs a folder}"); shift 2 ;;
        --keep) KEEP=yes; shift ;;
        bookworm | trixie) suite=$1; shift ;;
        -h | --help) usage; return 0 ;;
        *) break ;;
        esac
    done
    [ $# -gt 0 ] || { usage >&2; return 2; }
    [ "$(id -u)" -eq 0 ] || fail "making a root needs to be root"
    STORE=${MEMFOLD_CACHE:-/var/cache/memfold}/fresh
    ARCHIVES=$STORE/$suite-archives
    mkdir -p "$ARCHIVES/partial"
    root_make "$suite"
    export STORE ARCHIVES CACHE
    unshare --mount --pid --ipc --uts --fork --kill-child "${BASH_SOURCE[0]}" --enter "$ROOT" "$*"
}

if [ "${1:-}" = --enter ]; then
    root_enter "$2" "$3"
else
    main "$@"
fi
