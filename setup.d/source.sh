# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The source that a queue of patches is made for: QUEUE/BASE pins it, the archive has it, the cache keeps
# it. Debian 13's archive carries the bases of both queues; when it has moved on, the newest of the base's
# branch is taken, and whether the series fits it shows.

# base_field QUEUE NAME: one "NAME: value" of the queue's pin.
base_field() {
    sed -n "s/^$2: *//p" "$MF_TOP/$1/BASE"
}

# source_fetch QUEUE TITLE: sets MF_SOURCE to the verified source archive in the cache.
source_fetch() {
    local queue=$1 title=$2 package version orig sha256 candidate
    package=$(base_field "$queue" package)
    version=$(base_field "$queue" version)
    orig=$MF_CACHE/src/$(base_field "$queue" file)
    sha256=$(base_field "$queue" sha256)
    mkdir -p "$MF_CACHE/src"
    MF_SOURCE=$orig
    ! source_verified "$orig" "$sha256" || return 0
    archive_open trixie
    while IFS= read -r candidate; do
        [ -n "$candidate" ] || continue
        source_download "$package" "$candidate" "$title" || continue
        MF_SOURCE=$MF_CACHE/src/$(source_orig_name "$package" "$candidate")
        if [ "$MF_SOURCE" != "$orig" ]; then
            say "note: the archive no longer has $title $version, the base of the series; its $(source_upstream "$candidate") is used"
            return 0
        fi
        ! source_verified "$orig" "$sha256" || return 0
        die "$orig does not have the sha256 that $queue/BASE pins" "remove that file and run setup again"
    done < <(source_candidates "$package" "$version")
    die "no source of $title ${version%.*}.x could be fetched from the archive" \
        "check the network, or put $(base_field "$queue" file) into $MF_CACHE/src"
}

# source_unpack TITLE DIR: what source_fetch found, as a new folder.
source_unpack() {
    mkdir -p "$2"
    run_logged unpack "remove $MF_SOURCE and run setup again" "$1: unpacking $(basename "$MF_SOURCE")" \
        tar -xf "$MF_SOURCE" -C "$2" --strip-components=1 --no-same-owner
}

# source_candidates PACKAGE VERSION: the archive's source versions to try: those of VERSION, then the
# newest of its branch.
source_candidates() {
    local all
    all=$(archive_source_versions "$1")
    grep -E "^([0-9]+:)?${2//./\\.}[+-]" <<<"$all" || true
    grep -E "^([0-9]+:)?$(sed 's/\.[0-9]*$//; s/\./\\./g' <<<"$2")\.[0-9]+[+-]" <<<"$all" || true
}

source_upstream() {
    sed 's/^[0-9]*://; s/-[^-]*$//' <<<"$1"
}

source_orig_name() {
    printf '%s_%s.orig.tar.xz' "$1" "$(source_upstream "$2")"
}

source_download() {
    try_logged "fetch-$1" "$3: fetching source $2" archive_apt_in "$MF_CACHE/src" \
        apt-get -q source --download-only --tar-only --only-source "$1=$2" || true
    [ -s "$MF_CACHE/src/$(source_orig_name "$1" "$2")" ]
}

source_verified() {
    [ -f "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]
}
