#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Builds our QEMU: applies the series to an unpacked base, configures by CONFIGURE, builds the emulator.
set -euo pipefail

QUEUE=$(cd "$(dirname "$0")" && pwd)
EMULATOR=qemu-system-x86_64
QTEST=memory-merge-test

usage() {
    cat <<'EOF'
usage: build.sh [--patched] [--test] SRCDIR BUILDDIR [DESTDIR]

  SRCDIR     an unpacked base; the series is applied to it
  BUILDDIR   made if absent, used again if present
  DESTDIR    put the emulator into DESTDIR/PREFIX/bin (/ for the machine itself), and the tests that the
             series adds to QEMU's own into DESTDIR/PREFIX/libexec

  --patched  SRCDIR has the series, or a part of it, already
  --test     build and run these tests

Environment: JOBS (default: number of CPUs), PYTHONPATH (where a newer meson is, see README.md).
ccache is used if it is installed. Configure's errors are in BUILDDIR/configure.log.
EOF
}

die() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

apply_series() {
    local patch
    while read -r patch; do
        patch --batch --silent --fuzz=0 --strip=1 --directory="$1" <"$QUEUE/$patch" ||
            die "$patch does not apply to $1"
    done < <(sed 's/[[:space:]]*#.*//; /^$/d' "$QUEUE/series")
}

configure_build() {
    local src=$1 build=$2 cc=cc
    local -a options
    mapfile -t options <"$QUEUE/CONFIGURE"
    ! command -v ccache >/dev/null || cc='ccache cc'
    mkdir -p "$build"
    (cd "$build" && "$src/configure" --cc="$cc" "${options[@]}") >"$build/configure.log" 2>&1 || {
        tail -n 15 "$build/configure.log" >&2
        die "configure failed; QEMU needs meson 1.5 or newer and the packages that README.md lists"
    }
}

# The firmware's folders, as a QEMU that runs in its build folder looks for them.
link_firmware() {
    local dir
    while read -r dir; do
        [ -d "$dir" ] || die "no $dir: the tests need the packages seabios, ipxe-qemu and qemu-system-data"
        mkdir -p "$1/qemu-bundle${dir%/*}"
        ln -sfnT "$dir" "$1/qemu-bundle$dir"
    done < <(sed -n 's/^--firmwarepath=//p' "$QUEUE/CONFIGURE" | tr : '\n')
}

run_tests() {
    local build=$1
    [ -e "$2/tests/qtest/$QTEST.c" ] || return 0
    ninja -C "$build" -j "$JOBS" "tests/qtest/$QTEST"
    link_firmware "$build"
    (cd "$build" && QTEST_QEMU_BINARY=./$EMULATOR "tests/qtest/$QTEST")
}

# install_file FILE DIR: moved into place, so that guests that run keep the file they started from.
install_file() {
    local new
    new=$2/$(basename "$1").new
    mkdir -p "$2"
    install -m 755 "$1" "$new"
    mv -fT "$new" "${new%.new}"
}

install_built() {
    local prefix
    prefix=${2%/}$(sed -n 's/^--prefix=//p' "$QUEUE/CONFIGURE")
    ninja -C "$1" -j "$JOBS" "tests/qtest/$QTEST"
    install_file "$1/tests/qtest/$QTEST" "$prefix/libexec"
    install_file "$1/$EMULATOR" "$prefix/bin"
}

patched=false test=false
while [ $# -gt 0 ]; do
    case $1 in
        --patched) patched=true ;;
        --test) test=true ;;
        --help | -h) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) break ;;
    esac
    shift
done
[ $# -eq 2 ] || [ $# -eq 3 ] || { usage >&2; exit 2; }
[ -x "$1/configure" ] || die "$1 is not QEMU's source"
src=$(cd "$1" && pwd)
mkdir -p "$2"
build=$(cd "$2" && pwd)
JOBS=${JOBS:-$(nproc)}

$patched || apply_series "$src"
[ -e "$build/build.ninja" ] || configure_build "$src" "$build"
ninja -C "$build" -j "$JOBS" "$EMULATOR"
! $test || run_tests "$build" "$src"
[ $# -lt 3 ] || install_built "$build" "$3"
