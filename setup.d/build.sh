# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Building memfold, in build/KIND of the tree: gcc (the one that runs), clang, asan (gcc with the
# address and undefined-behaviour sanitizers), and fuzz (the fuzz targets alone).  Warnings are errors
# in all of them.

build_dir() {
    printf '%s/build/%s' "$MF_TOP" "$1"
}

# build_setting KIND: how it is configured, a word a line: the compiler, and what meson is told.
build_setting() {
    local compiler=gcc
    local -a options=(-Dwerror=true)
    case $1 in
    clang) compiler=clang ;;
    fuzz) compiler=clang; options+=(-Dfuzz=true) ;;
    asan) options+=('-Db_sanitize=address,undefined' -Db_lundef=false) ;;
    esac
    if command -v ccache >/dev/null; then
        compiler="ccache $compiler"
    fi
    printf '%s\n' "$compiler" "${options[@]}"
}

# build_mark KIND: what a build is the same by, beside its sources.
build_mark() {
    printf '%s\n' "$MF_CODENAME"
    build_setting "$1"
}

build_configure() {
    local kind=$1 dir
    local -a setting
    dir=$(build_dir "$kind")
    mapfile -t setting < <(build_setting "$kind")
    rm -rf "$dir"
    CC=${setting[0]} meson setup "${setting[@]:1}" "$dir" "$MF_TOP" && build_mark "$kind" >"$dir/.memfold-setting"
}

build_compile() {
    local kind=$1 dir
    dir=$(build_dir "$kind")
    # One that was configured for another release, or by an older setup, is not what is asked for.
    [ "$(cat "$dir/.memfold-setting" 2>/dev/null)" = "$(build_mark "$kind")" ] || build_configure "$kind" || return
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
