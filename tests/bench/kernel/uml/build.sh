#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Builds Linux as a program of the host, to be measured: puts the patches beside this file, which are for
# that only, on an unpacked base, or one with our series, and installs the program.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
# The same input gives the same bytes.
export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=memfold KBUILD_BUILD_HOST=memfold

usage() {
    cat <<'END'
usage: uml/build.sh SRCDIR BUILDDIR DESTDIR

  SRCDIR    source of Linux that was never configured in place; it keeps the patches
  BUILDDIR  made if absent, used again if present
  DESTDIR   gets the program linux

Environment: JOBS (default: number of CPUs)
END
}

die() {
    printf 'uml/build.sh: %s\n' "$*" >&2
    exit 1
}

make_uml() {
    make --no-print-directory -C "$src" O="$build" ARCH=um -j "${JOBS:-$(nproc)}" "$@"
}

apply_patches() {
    local patch
    for patch in "$HERE"/*.patch; do
        patch --batch --silent --fuzz=0 --strip=1 --directory="$src" <"$patch" || die "$patch does not apply"
    done
    touch "$src/.uml-patched"
}

# check_config: every line of the fragment must have taken effect.
check_config() {
    local line
    grep '^CONFIG_' "$HERE/uml.config" | while IFS= read -r line; do
        case $line in
        *=n) ! grep -q "^${line%=n}=" "$build/.config" || die "the configuration did not take: $line" ;;
        *) grep -qxF "$line" "$build/.config" || die "the configuration did not take: $line" ;;
        esac
    done
}

[ $# -eq 3 ] || { usage >&2; exit 2; }
[ -f "$1/Kbuild" ] || die "$1 is not the source of Linux"
src=$(cd "$1" && pwd)
mkdir -p "$2" "$3"
build=$(cd "$2" && pwd)
[ -e "$src/.uml-patched" ] || apply_patches
if [ ! -e "$build/.config" ]; then
    make_uml KCONFIG_ALLCONFIG="$HERE/uml.config" allnoconfig
fi
make_uml olddefconfig
check_config
make_uml linux
install -m 755 "$build/linux" "$3/linux"
