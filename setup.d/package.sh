# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `./setup package`: Debian packages of memfold; package-source.sh has those of a patched QEMU and a patched kernel.
# Each is built in a folder of its own in the cache; the paths of the results, one a line, are all that stdout gets.

# shellcheck disable=SC2034
cmd_package() {
    local what=memfold output=$MF_TOP/build/packages
    MF_PACKAGE_CONFIG=''
    MF_PACKAGE_SOURCE_ONLY=false
    while [ $# -gt 0 ]; do
        case $1 in
        --output)
            output=${2:?--output needs a folder}
            shift
            ;;
        --config)
            [ -f "${2:?--config needs a file}" ] || die "there is no configuration $2" "name a file"
            MF_PACKAGE_CONFIG=$(realpath "$2")
            shift
            ;;
        --source) MF_PACKAGE_SOURCE_ONLY=true ;;
        memfold | qemu | kernel | all) what=$1 ;;
        *) die "./setup package does not know \"$1\"" "./setup help tells the options" ;;
        esac
        shift
    done
    need_supported_distribution
    mkdir -p "$output"
    output=$(cd "$output" && pwd -P)
    [ "$what" = all ] || { "package_$what" "$output"; return; }
    package_memfold "$output"
    package_qemu "$output"
    package_kernel "$output"
}

# package_move FROM TO PATTERN...: moves what was built, and prints where it is now.
package_move() {
    local from=$1 to=$2 pattern file
    shift 2
    for pattern in "$@"; do
        # shellcheck disable=SC2231
        for file in "$from"/$pattern; do
            [ -e "$file" ] || continue
            mv -f "$file" "$to/"
            printf '%s\n' "$to/${file##*/}"
        done
    done
}

# package_tree DIR: a copy of what git knows, or would add, of this tree: building leaves nothing in it.
package_tree() {
    rm -rf "$1"
    mkdir -p "$1"
    git -C "$MF_TOP" -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
        tar -C "$MF_TOP" --null --verbatim-files-from -T - --ignore-failed-read -c | tar -C "$1" -x
}

# package_version_agrees: the packages are called as the program calls itself.
package_version_agrees() {
    local program changelog
    program=$(sed -n "s/^ *version: '\([^']*\)',\$/\1/p" "$MF_TOP/meson.build" | head -n 1)
    changelog=$(dpkg-parsechangelog -l "$MF_TOP/debian/changelog" -S Version)
    [ "$program" = "${changelog%%[-+~]*}" ] || die "meson.build says $program, debian/changelog says $changelog" \
        "add an entry to debian/changelog"
}

# package_debuild DIR OUTPUT NAME TITLE OPTION...: the binary packages of the source in DIR.
package_debuild() {
    local dir=$1 output=$2 name=$3 title=$4
    shift 4
    rm -f "${dir%/*}"/*.{deb,changes,buildinfo}
    run_logged "$name" "read the log" "$title" package_debuild_run "$dir" "$@"
    package_move "${dir%/*}" "$output" '*.deb' '*.buildinfo' '*.changes'
}

# The same folder each time: it is part of what ccache compares.
package_debuild_run() {
    cd "$1" || return
    shift
    PATH=/usr/lib/ccache:$PATH DEB_BUILD_OPTIONS="parallel=$MF_JOBS ${DEB_BUILD_OPTIONS:-}" \
        dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes "$@"
}

# package_memfold OUTPUT
package_memfold() {
    packages_install build package
    package_version_agrees
    package_tree "$MF_CACHE/package/memfold"
    package_debuild "$MF_CACHE/package/memfold" "$1" package-memfold "memfold: building Debian packages"
}

# package_memfold_older OUTPUT: after package_memfold, the same program as a lower version, with another
# memfold.conf: something to upgrade from.
package_memfold_older() {
    local tree=$MF_CACHE/package/memfold
    {
        printf 'memfold (0.0.1) unstable; urgency=medium\n\n  * To upgrade from.\n\n'
        sed -n '/^ -- /{p;q}' "$MF_TOP/debian/changelog"
        printf '\n'
        cat "$MF_TOP/debian/changelog"
    } >"$tree/debian/changelog"
    printf '# As version 0.0.1 shipped it.\n' >>"$tree/src/daemon/memfold.conf"
    package_debuild "$tree" "$1" package-older "memfold: packages of a lower version" --no-pre-clean
}

# test_tier_package: the packages are installed, upgraded, removed and purged in a fresh root.
test_tier_package() {
    local work=$MF_RESULTS/package status=0
    try_logged test-package "tests: package" timeout "$MF_TIER_LIMIT_SEC" "$MF_TOP/tests/fresh/fresh-root.sh" \
        --cache "$work" "$MF_CODENAME" bash /var/cache/memfold/lifecycle.sh /var/cache/memfold || status=$?
    cp "$MF_LOGS/test-package.log" "$MF_RESULTS/package-lifecycle.tap"
    [ $status -le 1 ] || test_report package-run 1 "the packages' test runs to its end" "$MF_LOGS/test-package.log"
    try_logged test-package-lintian "tests: package (lintian)" "$MF_TOP/tests/package/lintian.sh" "$work/new" || true
    cp "$MF_LOGS/test-package-lintian.log" "$MF_RESULTS/package-lintian.tap"
}

# test_package_build: what test_tier_package wants, while setup holds the cache.
test_package_build() {
    local work=$MF_RESULTS/package
    need_root "the packages are installed in a root of their own"
    packages_install build package package-test
    mkdir -p "$work/old" "$work/new"
    package_memfold "$work/new" >/dev/null
    DEB_BUILD_OPTIONS=nocheck package_memfold_older "$work/old" >/dev/null
    cp "$MF_TOP/tests/package/lifecycle.sh" "$work/"
}
