# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Building memfold, in build/KIND of the tree: gcc (the one that runs), clang, asan (gcc with the
# address and undefined-behaviour sanitizers), and fuzz (the fuzz targets alone).  Warnings are errors
# in all of them.

build_dir() {
    printf '%s/build/%s' "$MF_TOP" "$1"
}

# build_configure KIND: what meson is told for it.
build_configure() {
    local kind=$1 dir compiler=gcc
    local -a options=(-Dwerror=true)
    dir=$(build_dir "$kind")
    case $kind in
    clang) compiler=clang ;;
    fuzz) compiler=clang; options+=(-Dfuzz=true) ;;
    asan) options+=('-Db_sanitize=address,undefined' -Db_lundef=false) ;;
    esac
    if command -v ccache >/dev/null; then
        compiler="ccache $compiler"
    fi
    rm -rf "$dir"
    CC=$compiler meson setup "${options[@]}" "$dir" "$MF_TOP"
}

build_compile() {
    local kind=$1 dir
    dir=$(build_dir "$kind")
    [ -e "$dir/build.ninja" ] || build_configure "$kind" || return
    if [ "$kind" = fuzz ]; then
        ninja -C "$dir" -j "$MF_JOBS" fuzz-targets
    else
        ninja -C "$dir" -j "$MF_JOBS"
    fi
}

build_memfold() {
    run_logged "build-$1" "read the log; after a change of compiler or packages remove $(build_dir "$1")" \
        "memfold: building ($1)" build_compile "$1"
}
