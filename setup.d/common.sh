# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What every part of setup uses: the folders, messages with elapsed time, and running a long command
# into a log while a line shows how far it is.  Messages go to stderr; stdout is the result's alone.

# What programs say is read here, so they say it in English, whatever the operator speaks.  And a plain "su"
# leaves the folders out of PATH that have the administrator's programs.
unset LANGUAGE "${!LC_@}"
export LANG=C.UTF-8 PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

MF_PREFIX=/opt/memfold
# Not in /run/lock, where anybody could make it first.
MF_OPT_LOCK=/run/memfold-opt.lock
MF_STARTED_SEC=$SECONDS
MF_CODENAME=$(. /etc/os-release 2>/dev/null && printf %s "${VERSION_CODENAME:-unknown}") || MF_CODENAME=unknown
MF_JOBS=${MEMFOLD_JOBS:-$(nproc)}
# For the time of a command that would leave the machine broken if it were cut off.
MF_CHILD_KEEP=no

say() {
    printf '[%4ds] %s\n' $((SECONDS - MF_STARTED_SEC)) "$*" >&2
}

# die WHAT REMEDY: what failed, and what the operator can do about it.
die() {
    printf '\nsetup: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '       What to do: %s\n' "$2" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "this must run as root: $1" "run it again as root, for example: sudo ./setup ..."
}

need_supported_distribution() {
    case $MF_CODENAME in
    bookworm | trixie) ;;
    *) die "unsupported distribution (codename \"$MF_CODENAME\")" "use Debian 12 (bookworm) or Debian 13 (trixie)" ;;
    esac
    [ "$(uname -m)" = x86_64 ] || die "unsupported processor architecture $(uname -m)" "use an x86_64 machine"
}

# What setup makes in its cache, by name.
MF_CACHE_NAMES=(apt bench ccache debs fresh fuzz guest kernel kernel-build ksmtuned lock log package qemu qemu-build
    results src stack tools uml uml-build)
# Who has this file is setup's: what is old in it is removed without asking.
MF_CACHE_MARK=.memfold-cache

# cache_is_ours FOLDER: it is not there, is empty, or is marked; or it was made before there was a mark.
cache_is_ours() {
    local path
    [ -d "$1" ] && [ ! -e "$1/$MF_CACHE_MARK" ] || return 0
    while IFS= read -r path; do
        [[ " ${MF_CACHE_NAMES[*]} " == *" ${path##*/} "* && -f $1/lock && -d $1/log ]] || return 1
    done < <(find "$1/" -mindepth 1 -maxdepth 1 -not -name lost+found)
}

# cache_choose: a folder with other things in it gets a folder for the cache; that one may have none.
cache_choose() {
    if [ -n "${MEMFOLD_CACHE:-}" ]; then
        MF_CACHE=$MEMFOLD_CACHE
        if ! cache_is_ours "$MF_CACHE"; then
            MF_CACHE=${MF_CACHE%/}/memfold
            cache_is_ours "$MF_CACHE" || die "$MEMFOLD_CACHE and $MF_CACHE have other things in them" \
                "set MEMFOLD_CACHE to a folder of its own"
            say "MEMFOLD_CACHE has other things in it; the cache is $MF_CACHE"
        fi
    elif [ "$(id -u)" -eq 0 ]; then
        MF_CACHE=/var/cache/memfold
    else
        MF_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/memfold
    fi
}

# cache_is_apart: neither is the tree or our QEMU removed with the cache, nor the cache with our QEMU.
cache_is_apart() {
    local cache top prefix
    cache=$(realpath -m "$MF_CACHE") && cache=${cache%/}/
    top=$(realpath -m "$MF_TOP")/
    prefix=$(realpath -m "$MF_PREFIX")/
    [[ $top != "$cache"* && $prefix != "$cache"* && $cache != "$prefix"* ]]
}

# cache_open: choose and make the cache folder, and let one setup at a time work in it.
cache_open() {
    cache_choose
    cache_is_apart || die "the cache $MF_CACHE would be mixed with $MF_TOP or $MF_PREFIX" \
        "set MEMFOLD_CACHE to a folder of its own"
    { mkdir -p "$MF_CACHE/log" && : >>"$MF_CACHE/$MF_CACHE_MARK"; } ||
        die "cannot make the cache folder $MF_CACHE" "set MEMFOLD_CACHE to a folder you may write"
    MF_CACHE=$(cd "$MF_CACHE" && pwd -P)
    MF_LOGS=$MF_CACHE/log
    export MEMFOLD_CACHE=$MF_CACHE
    export CCACHE_DIR=$MF_CACHE/ccache CCACHE_MAXSIZE=3G
    MEMFOLD_QEMU=$MF_PREFIX/bin/qemu-system-x86_64
    # Who is not root neither installs nor runs what needs to be installed.
    if [ "$(id -u)" -eq 0 ]; then
        lock_make "$MF_CACHE/lock"
        lock_make "$MF_OPT_LOCK"
    else
        MF_OPT_LOCK=/dev/null
    fi
    exec {MF_LOCK_FD}>"$MF_CACHE/lock"
    lock_wait "$MF_LOCK_FD" exclusive "$MF_CACHE/lock" "another setup works in $MF_CACHE"
    exec {MF_OPT_FD}>>"$MF_OPT_LOCK"
}

# lock_make FILE: who can read it can hold the lock, so nobody but root may. It is no link to where somebody else would
# have root write.
lock_make() {
    [ ! -L "$1" ] || die "$1 is a symbolic link" "remove it"
    (umask 077 && : >>"$1")
    chmod 600 "$1"
}

# lock_wait FD exclusive|shared FILE WHY: takes the lock, or changes how it is held, for which it lets go of it first.
lock_wait() {
    ! flock -n "--$2" "$1" || return 0
    say "$4; waiting for it"
    flock -w 3600 "--$2" "$1" || die "$3 is still held after an hour: $4" "look who holds it with: fuser -v $3"
}

# opt_lock exclusive|shared: for those who change what is in /opt, and who run it. The demo and the tests hold no lock
# on the cache, and another setup could put another QEMU under them. They inherit this one.
opt_lock() {
    [ "$MF_OPT_LOCK" = /dev/null ] ||
        lock_wait "$MF_OPT_FD" "$1" "$MF_OPT_LOCK" "a setup, a demo or tests use or install $MF_PREFIX"
}

# cache_unlock: before anything long that does not write the cache, and before any child may inherit the lock.
cache_unlock() {
    exec {MF_LOCK_FD}>&-
}

# free_mib FOLDER
free_mib() {
    df -Pm "$1" | awk 'NR == 2 { print $4 }'
}

# short_hash: of what comes in.
short_hash() {
    sha256sum | cut -c1-16
}

# hash_files FILE...: one hash over names (relative to the tree) and contents.
hash_files() {
    local file
    for file in "$@"; do
        printf '%s ' "${file#"$MF_TOP"/}"
        sha256sum <"$file"
    done | short_hash
}

# cache_prune FOLDER: of a folder of builds named by hash, keeps the three that were made last.
cache_prune() {
    local old
    find "$1" -mindepth 1 -maxdepth 1 -printf '%T@ %p\n' | sort -rn | sed '1,3d; s/^[^ ]* //' |
        while IFS= read -r old; do
            rm -rf "$old"
        done
}

# remove_later FOLDER: a hundred thousand files take a while to go, and nobody needs to wait for that.
remove_later() {
    setsid rm -rf "$1" >/dev/null 2>&1 {MF_LOCK_FD}>&- {MF_OPT_FD}>&- &
}

# progress_line LOG: the newest "[n/m]" counter of ninja or meson, else the newest line.
progress_line() {
    local counter
    counter=$(tail -c 4000 "$1" | tr '\r' '\n' | grep -oE '^ *\[? *[0-9]+/[0-9]+\]?' | tail -n 1 | tr -d '[] ') || true
    if [ -n "$counter" ]; then
        printf '%s' "$counter"
    else
        tail -n 1 "$1" | tr -d '\r' | cut -c1-60
    fi
}

# watch_log PID TITLE LOG: shows progress until PID ends; each second on a terminal, else twice a minute.
watch_log() {
    local pid=$1 title=$2 log=$3 began=$SECONDS shown=$SECONDS every=30
    [ ! -t 2 ] || every=1
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.3 || true
        [ $((SECONDS - shown)) -ge $every ] || continue
        shown=$SECONDS
        if [ -t 2 ]; then
            printf '\r\033[K[%4ds] %s: %ss  %s' $((SECONDS - MF_STARTED_SEC)) "$title" $((SECONDS - began)) "$(progress_line "$log")" >&2
        else
            say "$title: $((SECONDS - began)) s, $(progress_line "$log")"
        fi
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

# group_runs GROUP: whether a process of that group runs still; one that has ended, and that nobody takes note of,
# does not.
group_runs() {
    local file line
    for file in /proc/[0-9]*/stat; do
        { read -r line <"$file"; } 2>/dev/null || continue
        [[ ${line##*) } != [!XZ]\ +([0-9])\ $1\ * ]] || return 0
    done
    return 1
}

# child_stop SIGNAL: setup was told to end, so what try_logged runs ends first, with all that it started; then setup,
# as by that signal. Continuous integration kills after a minute. What MF_CHILD_KEEP is set for comes to its own end.
child_stop() {
    local deadline=$((SECONDS + 50))
    # Where messages go may have gone, and be the reason.
    trap '' INT TERM HUP PIPE
    if [ -n "$MF_CHILD" ] && [ "$MF_CHILD_KEEP" = yes ]; then
        say "finishing: $MF_CHILD_TITLE" || true
        wait "$MF_CHILD" || true
    elif [ -n "$MF_CHILD" ]; then
        say "stopping: $MF_CHILD_TITLE" || true
        kill -s TERM -- "-$MF_CHILD" 2>/dev/null || true
        while group_runs "$MF_CHILD" && [ $SECONDS -lt $deadline ]; do
            sleep 0.1
        done
        kill -s KILL -- "-$MF_CHILD" 2>/dev/null || true
    fi
    trap - "$1"
    kill -s "$1" "$BASHPID"
}

# try_logged NAME TITLE COMMAND...: runs COMMAND with its output in the log NAME; returns its status. Not for a
# subshell: a signal that comes for setup alone would not reach it.
try_logged() {
    local name=$1 title=$2 log=$MF_LOGS/$1.log began=$SECONDS status=0
    shift 2
    say "$title"
    MF_CHILD='' MF_CHILD_TITLE=$title
    trap 'child_stop INT' INT
    trap 'child_stop TERM' TERM
    trap 'child_stop HUP' HUP
    # Job control gives the command a process group, which child_stop can end as a whole.
    set -m
    "$@" >"$log" 2>&1 </dev/null {MF_LOCK_FD}>&- {MF_OPT_FD}>&- &
    MF_CHILD=$!
    set +m
    watch_log "$MF_CHILD" "$title" "$log"
    wait "$MF_CHILD" || status=$?
    trap - INT TERM HUP
    if [ $status -eq 0 ] && [ $((SECONDS - began)) -ge 5 ]; then
        say "$title: done in $((SECONDS - began)) s"
    fi
    return $status
}

# run_logged NAME REMEDY TITLE COMMAND...: like try_logged, but failure shows the log's end and is final.
run_logged() {
    local name=$1 remedy=$2 title=$3
    shift 2
    try_logged "$name" "$@" && return 0
    printf -- '--- the last lines of %s:\n' "$MF_LOGS/$name.log" >&2
    tail -n 30 "$MF_LOGS/$name.log" >&2
    die "failed: $title" "$remedy (whole log: $MF_LOGS/$name.log)"
}

# export_environment: what the demo and the tests find their parts by.
export_environment() {
    MEMFOLD_BUILD=$(build_dir gcc)
    MEMFOLD_GUEST=$(guest_dir)
    export MEMFOLD_BUILD MEMFOLD_GUEST MEMFOLD_QEMU
    export MEMFOLD_STOCK_QEMU=/usr/bin/qemu-system-x86_64
}
