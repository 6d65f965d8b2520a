#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Builds our kernel: applies the series to an unpacked base, configures it by fragments of config/, builds
# the image and the self-tests that belong to memory merging, linked statically. The build is out of the
# source, so that one source serves every configuration.
set -euo pipefail

QUEUE=$(cd "$(dirname "$0")" && pwd)
SELFTESTS=tools/testing/selftests/mm
# The same input gives the same bytes.
export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=memfold KBUILD_BUILD_HOST=memfold

usage() {
    cat <<'END'
usage: build.sh [--patched] [--config NAME]... SRCDIR BUILDDIR [DESTDIR]
       build.sh [--patched] --test SRCDIR BUILDDIR

  SRCDIR     an unpacked base, never configured in place; the series is applied to it
  BUILDDIR   made if absent, used again if present
  DESTDIR    put bzImage, its config, selftests/, and tree/ (headers to compile against) there

  --patched      SRCDIR has the series, or a part of it, already
  --config NAME  a fragment config/NAME.config over config/base.config; the last one wins
  --test         no image: compile what the series touches in every configuration of config/check/, run
                 sparse over it, and build the self-tests. What `queue.sh verify --each` asks of a patch.

Environment: JOBS (default: number of CPUs)
END
}

die() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

series() {
    sed 's/[[:space:]]*#.*//; /^$/d' "$QUEUE/series"
}

apply_series() {
    local patch
    while read -r patch; do
        patch --batch --silent --fuzz=0 --strip=1 --directory="$1" <"$QUEUE/$patch" ||
            die "$patch does not apply to $1"
    done < <(series)
}

# make_kernel SRC BUILD ARGUMENT...: with ARCH from the caller.
make_kernel() {
    local src=$1 build=$2
    shift 2
    make --no-print-directory -C "$src" O="$build" ARCH="$ARCH" -j "$JOBS" "$@"
}

# wanted FRAGMENT...: the options that the fragments set, the last word on each.
wanted() {
    awk -F= '/^CONFIG_/ { value[$1] = $0 } END { for (name in value) print value[name] }' "$@" | sort
}

# missing CONFIG WANTED: the wanted lines that the configuration does not have.
missing() {
    local line
    while IFS= read -r line; do
        case $line in
        *=n) ! grep -q "^${line%=n}=" "$1" || printf '%s\n' "$line" ;;
        *) grep -qxF "$line" "$1" || printf '%s\n' "$line" ;;
        esac
    done <"$2"
}

# configure SRC BUILD FRAGMENT...: allnoconfig with the fragments; every line of them must take effect.
configure() {
    local src=$1 build=$2 lost
    shift 2
    mkdir -p "$build"
    wanted "$@" >"$build/wanted.new"
    if [ -e "$build/.config" ] && cmp -s "$build/wanted.new" "$build/wanted"; then
        make_kernel "$src" "$build" olddefconfig
    else
        make_kernel "$src" "$build" KCONFIG_ALLCONFIG="$build/wanted.new" allnoconfig >"$build/configure.log" 2>&1 || {
            tail -n 15 "$build/configure.log" >&2
            die "configuring failed; README.md lists the packages that it needs"
        }
    fi
    lost=$(missing "$build/.config" "$build/wanted.new")
    [ -z "$lost" ] || die "the configuration did not take: $(tr '\n' ' ' <<<"$lost")"
    mv "$build/wanted.new" "$build/wanted"
}

# selftest_names SRC: the programs of memory merging, the base's own and those that the series adds.
selftest_names() {
    {
        (cd "$1/$SELFTESTS" && ls ksm_*.c)
        series | sed "s:^:$QUEUE/:" | xargs -r sed -n "/^--- .dev.null/{n;s:^+++ b/$SELFTESTS/\([^/]*\.c\)$:\1:p}"
    } | sort -u | while read -r name; do
        ! grep -q '^int main(' "$1/$SELFTESTS/$name" 2>/dev/null || printf '%s\n' "${name%.c}"
    done
}

# build_selftests SRC BUILD: by the Makefile of the self-tests, so that what is missing there shows.
build_selftests() {
    local src=$1 out=$2/selftests name
    local -a targets=()
    make_kernel "$src" "$2" headers >/dev/null
    mkdir -p "$out"
    for name in $(selftest_names "$src"); do
        targets+=("$out/$name")
    done
    make --no-print-directory -C "$src/$SELFTESTS" ARCH=x86_64 OUTPUT="$out" \
        KHDR_INCLUDES="-isystem $2/usr/include" USERCFLAGS="-O2 -Werror -Wno-error=maybe-uninitialized" USERLDFLAGS=-static \
        -j "$JOBS" "${targets[@]}"
}

# install_tree SRC BUILD DEST: what a program needs to be compiled for this kernel: its headers, and the
# helpers of the self-tests, by their paths in the source.
install_tree() {
    local src=$1 tree=$3/tree name
    mkdir -p "$tree/usr" "$tree/$SELFTESTS"
    cp -r "$2/usr/include" "$tree/usr/"
    cp "$src/$SELFTESTS/../kselftest.h" "$tree/$SELFTESTS/../"
    cp "$src/$SELFTESTS"/*.h "$tree/$SELFTESTS/"
    for name in ksm_util.c vm_util.c thp_settings.c; do
        [ ! -f "$src/$SELFTESTS/$name" ] || cp "$src/$SELFTESTS/$name" "$tree/$SELFTESTS/"
    done
}

install_built() {
    local src=$1 build=$2 dest=$3 name
    mkdir -p "$dest/selftests"
    install -m 644 "$build/arch/x86/boot/bzImage" "$dest/bzImage"
    install -m 644 "$build/.config" "$dest/config"
    install_tree "$src" "$build" "$dest"
    for name in $(selftest_names "$src"); do
        install -m 755 "$build/selftests/$name" "$dest/selftests/$name"
    done
}

patched=false test=false ARCH=x86_64
fragments=("$QUEUE/config/base.config")
while [ $# -gt 0 ]; do
    case $1 in
    --patched) patched=true ;;
    --test) test=true ;;
    --config)
        [ -f "$QUEUE/config/${2:-}.config" ] || die "no $QUEUE/config/${2:-}.config"
        fragments+=("$QUEUE/config/$2.config")
        shift
        ;;
    --help | -h) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) break ;;
    esac
    shift
done
[ $# -eq 2 ] || [ $# -eq 3 ] || { usage >&2; exit 2; }
[ -f "$1/Kbuild" ] || die "$1 is not the source of Linux"
[ ! -e "$1/.config" ] || die "$1 was configured in place: make -C $1 mrproper"
src=$(cd "$1" && pwd)
mkdir -p "$2"
build=$(cd "$2" && pwd)
JOBS=${JOBS:-$(nproc)}

$patched || apply_series "$src"
if $test; then
    # shellcheck source=kernel/check.sh
    . "$QUEUE/check.sh"
    check_all "$src" "$build"
    exit
fi
configure "$src" "$build" "${fragments[@]}"
make_kernel "$src" "$build" bzImage
build_selftests "$src" "$build"
[ $# -lt 3 ] || install_built "$src" "$build" "$3"
