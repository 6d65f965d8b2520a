#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Judges the functions of setup, as TAP: with folders of their own, and stand-ins for what would change the machine.
# A case is a function case_NAME, which runs in a process of its own; without -e a failure in its midst would pass.
#
# shellcheck disable=SC2034,SC2317,SC2329 # what setup reads, and what setup and main call

set -Eeuo pipefail
MF_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

# load: the functions, with a cache in WORK, and nothing of the machine's.
load() {
    local part
    local -a parts
    read -ra parts < <(sed -n 's/^for part in \(.*\); do$/\1/p' "$MF_TOP/setup")
    for part in "${parts[@]}"; do
        # shellcheck source=/dev/null
        . "$MF_TOP/setup.d/$part.sh"
    done
    MF_PREFIX=$WORK/opt/memfold MF_QEMU_MARK=$WORK/opt/memfold/.memfold-qemu MF_OPT_LOCK=$WORK/opt-lock
    MF_APPARMOR_DIR=$WORK/apparmor.d
    mkdir -p "$WORK/opt"
    export MEMFOLD_CACHE=$WORK/cache
    say() { :; }
}

are() {
    [ "$1" = "$2" ] || { printf 'found: %s\nwanted: %s\n' "$1" "$2"; return 1; }
}

dies() {
    ! ("$@") >/dev/null 2>&1
}

# until_there FILE: what happens beside this has done so.
until_there() {
    local tries
    for tries in $(seq 200); do
        [ ! -e "$1" ] || return 0
        sleep 0.05
    done
    echo "$1 did not come in ${tries} tries"
    return 1
}

case_clean_leaves_what_is_not_setups() {
    apparmor_clean() { :; }
    pgrep() { return 1; }
    MF_TOP=$WORK/tree
    mkdir -p "$WORK/tree/build"
    mkdir -p "$MEMFOLD_CACHE"
    cache_open
    mkdir "$MF_CACHE/qemu" "$MF_CACHE/mine"
    cmd_clean
    are "$(ls -A "$MEMFOLD_CACHE")" mine
    rmdir "$MEMFOLD_CACHE/mine"
    exec {MF_LOCK_FD}>&- {MF_OPT_FD}>&-
    cache_open
    cmd_clean
    [ ! -e "$MEMFOLD_CACHE" ] && [ ! -e "$WORK/tree/build" ]
}

case_a_folder_with_other_things_gets_one_for_the_cache() {
    mkdir -p "$MEMFOLD_CACHE/qemu/own-1"
    cache_open
    are "$MF_CACHE" "$WORK/cache/memfold"
    cache_remove
    are "$(ls -A "$WORK/cache")" qemu
    [ -d "$WORK/cache/qemu/own-1" ]
}

case_a_folder_for_the_cache_with_other_things_is_refused() {
    mkdir -p "$MEMFOLD_CACHE"/memfold/{src,kernel}
    dies cache_open
    are "$(ls -A "$MEMFOLD_CACHE/memfold")" $'kernel\nsrc'
}

# Marked, as by a setup that took the tree for its cache.
case_a_cache_is_apart_from_the_tree_and_our_qemu() {
    local folder
    MF_TOP=$WORK/a/tree
    mkdir -p "$WORK/a/tree" "$MF_PREFIX" "$WORK/linked"
    ln -s "$WORK/a" "$WORK/linked/a"
    for folder in "$WORK/a/tree" "$WORK/a" "$WORK/linked/a" "$WORK/linked/a/tree/" "$WORK/opt" "$MF_PREFIX"; do
        : >"$folder/.memfold-cache"
        MEMFOLD_CACHE=$folder
        dies cache_open || { echo "taken: $folder"; return 1; }
        [ ! -e "$folder/log" ]
    done
    for folder in "$MF_PREFIX/cache" "$MF_TOP/src/.."; do
        MEMFOLD_CACHE=$folder
        dies cache_open || { echo "taken: $folder"; return 1; }
        [ ! -e "$folder/log" ]
    done
    MEMFOLD_CACHE=$WORK/a/tree/cache
    cache_open
    MEMFOLD_CACHE=$WORK/a/tree-cache
    cache_open
}

case_a_cache_is_known_again() {
    cache_open
    are "$MF_CACHE" "$WORK/cache"
    : >"$MF_CACHE/note"
    MEMFOLD_CACHE=$WORK/cache
    cache_choose
    are "$MF_CACHE" "$WORK/cache"
    mkdir -p "$WORK/older/log" "$WORK/older/qemu" && : >"$WORK/older/lock"
    MEMFOLD_CACHE=$WORK/older
    cache_choose
    are "$MF_CACHE" "$WORK/older"
}

case_clean_knows_each_folder_of_the_cache() {
    local name
    while IFS= read -r name; do
        [[ " ${MF_CACHE_NAMES[*]} " == *" $name "* ]] || { echo "not in MF_CACHE_NAMES: $name"; return 1; }
    done < <(cat "$MF_TOP/setup" "$MF_TOP"/setup.d/*.sh | sed 's/#.*//' | grep -oE '[$]MF_CACHE/[a-z-]+' |
        sed 's:.*/::' | sort -u)
}

sources() {
    printf 'Types: deb\nURIs: %s\nSuites: bookworm bookworm-updates\nComponents: main\n' "$1"
}

case_a_list_of_mirrors_is_known() {
    local uri said
    sources mirror+file:///etc/apt/mirrors/debian.list >"$WORK/a.sources"
    sources mirror+file:///etc/apt/mirrors/other.list >"$WORK/b.sources"
    sources http://mirror.example/debian/ >"$WORK/c.sources"
    printf 'deb [arch=amd64] mirror+file:/etc/apt/mirrors/debian.list bookworm main\n' >"$WORK/d.list"
    printf '%s\n' mirror+file:/etc/apt/mirrors/debian.list http://mirror.example/debian >"$WORK/uris"
    for uri in a.sources c.sources d.list; do
        said=$(archive_map "$WORK/$uri" bookworm trixie <"$WORK/uris")
        grep -q '^Suites: trixie' <<<"$said" || { echo "$uri: $said"; return 1; }
    done
    are "$(archive_map "$WORK/b.sources" bookworm trixie <"$WORK/uris")" ""
}

# from_program FILE FUNCTION: of a program that can't be sourced.
from_program() {
    # shellcheck source=/dev/null
    . <(sed -n "/^$2() {/,/^}/p" "$MF_TOP/$1")
}

case_debootstrap_gets_the_first_of_a_list() {
    from_program tests/fresh/fresh-root.sh mirror
    printf '# comment\nhttps://mirror.example/debian\tpriority:1\nhttp://second.example/debian\n' >"$WORK/list"
    apt-get() { printf 'Debian|Debian|%s\nDebian|Debian-Security|x\n' "$URI"; }
    URI=mirror+file:$WORK/list
    are "$(mirror)" https://mirror.example/debian
    URI=http://mirror.example/debian
    are "$(mirror)" http://mirror.example/debian
}

case_a_tree_of_another_user_is_cloned() {
    from_program tests/fresh/fresh-root.sh tree_clone
    git init -q "$WORK/tree"
    git -C "$WORK/tree" -c user.name=a -c user.email=a@b commit -q --allow-empty -m first
    [ "$(id -u)" -ne 0 ] || chown -R nobody: "$WORK/tree"
    MF_TOP=$WORK/tree
    tree_clone "$WORK/clone"
    are "$(git -C "$WORK/clone" log --format=%s)" first
}

case_a_list_that_did_not_come_is_fetched_again() {
    local fails=true
    archive_uris() { echo http://mirror.example/debian; }
    archive_map() { sources "$(cat)"; }
    archive_apt() {
        are "$*" "apt-get -q -o APT::Update::Error-Mode=any update"
        echo once >>"$WORK/updates"
        ! $fails
    }
    cache_open
    # As by an update that begins, and fails.
    mkdir -p "$MF_CACHE/apt/trixie/lists" && touch "$MF_CACHE/apt/trixie/lists/lock"
    dies archive_open trixie
    dies archive_open trixie
    fails=false
    archive_open trixie
    archive_open trixie
    are "$(wc -l <"$WORK/updates")" 3
}

case_programs_speak_english_and_are_found() {
    # shellcheck disable=SC2016 # the other shell expands it
    are "$(env LC_ALL=C LANGUAGE=de LC_MESSAGES=de PATH=/usr/bin:/bin bash -c \
        '. "$0/setup.d/common.sh"; env; printf "PATH %s\n" "$PATH"' "$MF_TOP" |
        grep -E '^(L(C_|ANG)|PATH )' | sort)" \
        $'LANG=C.UTF-8\nPATH /usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin'
}

case_stock_kernels_come_before_the_series() {
    are "$(grep -hE '^ *kernel_ready ([^ ]* )*(bench|locks|patched|kasan) .*stock' "$MF_TOP"/setup.d/*.sh)" ""
    cache_open
    mkdir -p "$WORK/made/bench" && touch "$WORK/made/applied"
    run_logged() { mkdir -p "$WORK/made/bench"; }
    dies kernel_build_one bench-stock "$WORK/made"
    kernel_build_one bench "$WORK/made"
    [ -e "$(kernel_dir bench)/complete" ] && [ ! -e "$(kernel_dir bench-stock)" ]
}

# A command of setup, and what it starts; the last of these ends later than told, as what tidies up does.
work_long() {
    bash -c 'trap "sleep 0.3; touch $0/tidied; exit" TERM; sleep 60 & echo $! >$0/started.new
        mv $0/started.new $0/started; wait' "$WORK"
}

# An installation, which must not be told to end, and takes a while after setup was.
work_kept() {
    bash -c 'trap "touch $0/killed" INT TERM HUP; echo $$ >$0/started.new; mv $0/started.new $0/started
        until [ -e $0/told ]; do sleep 0.05; done; sleep 0.5; touch $0/tidied' "$WORK"
}

# long_is_told SIGNAL KEEP: it comes to its end before setup, which ends as by that signal.
long_is_told() {
    local signal=$1 pid status=0
    rm -f "$WORK"/{started,told,killed,tidied,ended}
    # By way of a program, for a shell has what it starts beside itself ignore SIGINT.
    WORK=$WORK python3 -c 'import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.exit(subprocess.run(sys.argv[1:]).returncode % 256)' "$MF_TOP/tests/style/check-setup.sh" --long "$2" &
    until_there "$WORK/started"
    pid=$(cat "$WORK/setup-pid")
    # The lock is the setup's alone.
    are "$(find "/proc/$(cat "$WORK/started")/fd" -lname "$WORK/*lock" | wc -l)" 0
    kill -s "$signal" "$pid"
    wait $! || status=$?
    are "$status" $((256 - $(kill -l "$signal")))
    ls "$WORK/tidied" "$WORK/ended"
    [ ! -e "$WORK/killed" ]
    ! kill -0 "$(cat "$WORK/started")" 2>/dev/null || grep -q '^State:.*Z' "/proc/$(cat "$WORK/started")/status"
}

case_what_setup_runs_ends_with_it() {
    local signal
    for signal in INT TERM HUP; do
        long_is_told "$signal" no
    done
}

case_an_installation_is_not_cut_off() {
    long_is_told HUP yes
    long_is_told INT yes
}

case_other_users_can_hold_no_lock() {
    [ "$(id -u)" -eq 0 ] || return 0
    mkdir -p "$MEMFOLD_CACHE/log"
    touch "$MEMFOLD_CACHE/lock"
    cache_open
    are "$(stat -c %a "$MF_OPT_LOCK" "$MF_CACHE/lock")" $'600\n600'
    ln -s "$MF_CACHE/victim" "$MF_CACHE/link"
    are "$(lock_make "$MF_CACHE/link" 2>&1 | sed -n 2p)" "setup: $MF_CACHE/link is a symbolic link"
    are "$(ls "$MF_CACHE/victim" 2>/dev/null)" ""
    # In /run/lock anybody could make it first.
    are "$(grep -rn --include='*.sh' --include='*.py' '/run/lock/[m]emfold' "$MF_TOP"/setup.d "$MF_TOP/tests")" ""
}

case_opt_is_left_alone_by_others_while_it_is_used() {
    [ "$(id -u)" -eq 0 ] || return 0
    cache_open
    opt_lock shared
    dies flock -n -x "$MF_OPT_LOCK" true
    flock -n -s "$MF_OPT_LOCK" true
    opt_lock exclusive
    dies flock -n -s "$MF_OPT_LOCK" true
    opt_lock shared
    flock -n -s "$MF_OPT_LOCK" true
}

case_installing_leaves_folders_of_others() {
    need_root() { :; }
    mkdir -p "$WORK/opt/memfold.new" "$WORK/opt/memfold.old" "$WORK/kept$MF_PREFIX/bin"
    echo 10.0 >"$WORK/kept/complete"
    qemu_install "$WORK/kept" key-1
    qemu_install "$WORK/kept" key-2
    are "$(cat "$MF_QEMU_MARK")" key-2
    are "$(ls "$WORK/opt")" $'memfold\nmemfold.new\nmemfold.old'
    mkdir "$MF_PREFIX.setup-new" "$MF_PREFIX.setup-old"
    qemu_remove
    are "$(ls "$WORK/opt")" $'memfold.new\nmemfold.old'
}

case_profiles_that_were_written_are_loaded_in_the_end() {
    local fails=true
    cache_open
    apparmor_enabled() { true; }
    apparmor_parser() {
        [[ $2 != */libvirt/* ]] || return 1
        ! $fails && echo loaded >>"$WORK/loaded"
    }
    mkdir -p "$MF_APPARMOR_DIR/libvirt"
    touch "$MF_APPARMOR_DIR/usr.sbin.libvirtd" "$MF_APPARMOR_DIR/libvirt/libvirt-0a"
    dies apparmor_ready
    fails=false
    apparmor_ready
    apparmor_ready
    grep -q '^warning: .*libvirt-0a' "$MF_LOGS/apparmor.log"
    apparmor_clean
    apparmor_clean
    are "$(wc -l <"$WORK/loaded")" 2
    [ ! -e "$MF_APPARMOR_DIR/local/.memfold-load" ]
}

case_objects_of_another_series_are_not_taken() {
    MF_DEB_VERSION=6.12-1
    kernel_key() { echo "$SERIES"; }
    SERIES=one
    mkdir -p "$WORK/build/kept"
    package_kernel_objects "$WORK"
    [ ! -e "$WORK/build" ]
    mkdir -p "$WORK/build/kept"
    package_kernel_objects "$WORK"
    [ -e "$WORK/build/kept" ]
    SERIES=two
    package_kernel_objects "$WORK"
    [ ! -e "$WORK/build" ]
}

case_a_build_with_other_options_is_made_anew() {
    MF_TOP=$WORK
    meson() {
        mkdir -p "${*: -2:1}"
        echo "$CC $*" >>"$WORK/configured"
    }
    ninja() { :; }
    build_compile asan
    build_compile asan
    are "$(wc -l <"$WORK/configured")" 1
    grep -q '^\(ccache \)\?gcc setup -Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false .*/build/asan ' "$WORK/configured"
    MF_CODENAME=another
    build_compile asan
    are "$(wc -l <"$WORK/configured")" 2
}

case_packages_of_the_administrator_stay() {
    cache_open
    id() { echo 0; }
    packages_missing() { echo busybox-static; }
    packages_known() { true; }
    quiet_services_begin() { :; }
    quiet_services_end() { :; }
    apt_get() {
        [ "$1" != --simulate ] || { printf '%s\n' "$SIMULATED" 'Inst busybox-static'; return 0; }
        echo "$MF_CHILD_KEEP $*" >>"$WORK/installed"
        [[ ! "$MF_CHILD_KEEP $*" =~ $FAILS ]]
    }
    FAILS=nothing
    SIMULATED='Remv busybox [1:1.35]'
    dies packages_install run
    [ ! -e "$WORK/installed" ]
    SIMULATED=''
    packages_install run
    # Who ends setup ends what is fetched, and has to wait for what is installed.
    are "$(cat "$WORK/installed")" "no install --no-remove --no-install-recommends --download-only busybox-static
yes install --no-remove --no-install-recommends busybox-static"
    rm "$WORK/installed"
    FAILS=--download-only
    dies packages_install run
    are "$(cut -d ' ' -f 1-2 "$WORK/installed")" $'no install\nno update\nno install'
    FAILS="^yes install"
    (packages_install run) 2>"$WORK/said" || true
    grep -q 'What to do: .*dpkg --configure -a' "$WORK/said"
}

# fetched ARGUMENTS PACKAGE: as by apt-get download. What root unpacks then, nobody else may have put there.
fetched() {
    [[ " $1 " == *" -o APT::Sandbox::User=root "*"download $2 " ]] || { echo "not as root: $1"; return 1; }
    are "$(find . -maxdepth 0 -perm /022)" "" && touch "$2_1_amd64.deb"
}

case_a_guests_kernel_is_fetched_by_root() {
    local out=$WORK/out work=$WORK/work
    from_program tests/guest/build.sh kept_deb
    from_program tests/guest/build.sh fetch_kernel
    kernel_package() { echo linux-image-6; }
    apt-get() { fetched "$*" linux-image-6; }
    dpkg-deb() { tar -C "$WORK" -c ./boot; }
    mkdir "$out" "$work" "$WORK/boot"
    touch "$WORK/boot/vmlinuz-6"
    fetch_kernel
    are "$(cat "$out/linux.release")" 6
    [ -e "$out/linux.kernel" ] && [ -e "$MEMFOLD_CACHE/debs/linux-image-6_1_amd64.deb" ]
}

case_a_static_busybox_is_had_without_its_package() {
    cache_open
    dpkg-query() { return 1; }
    packages_known() { true; }
    apt-get() { fetched "$*" busybox-static; }
    dpkg-deb() { mkdir -p "$3/usr/bin" && touch "$3/usr/bin/busybox"; }
    busybox_ready
    are "$MEMFOLD_BUSYBOX" "$WORK/cache/tools/busybox/tree/usr/bin/busybox"
    dpkg-query() { echo installed; }
    busybox_ready
    are "$MEMFOLD_BUSYBOX" /bin/busybox
}

# What long_is_told tells to end. Where it writes to has gone by then, as with the connection or with tee.
if [ "${1:-}" = --long ]; then
    load
    say() {
        [[ $1 == @(stopping|finishing):* ]] || return 0
        touch "$WORK/told"
        kill -s PIPE "$BASHPID"
        return 1
    }
    trap 'touch "$WORK/ended"' EXIT
    echo $$ >"$WORK/setup-pid"
    cache_open
    if [ "$2" = yes ]; then
        MF_CHILD_KEEP=yes run_logged long "" "something long" work_kept
    else
        run_logged long "" "something long" work_long
    fi
    exit 0
elif [ "${1:-}" = --case ]; then
    load
    "case_$2"
    exit 0
fi

number=0 failed=0
trap 'rm -rf "$WORK"' EXIT
for name in $(compgen -A function case_); do
    number=$((number + 1))
    WORK=$(mktemp -d)
    text=${name#case_}
    if output=$(WORK=$WORK "${BASH_SOURCE[0]}" --case "$text" 2>&1); then
        echo "ok $number - ${text//_/ }"
    else
        echo "not ok $number - ${text//_/ }"
        printf '# %s\n' "${output//$'\n'/$'\n# '}"
        failed=1
    fi
    rm -rf "$WORK"
done
echo "1..$number"
exit $failed
