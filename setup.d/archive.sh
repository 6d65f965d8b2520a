# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Reaching what the machine's own apt sources do not name: source packages, and on Debian 12 those
# of Debian 13.  The entries are derived from the machine's, so mirror and keyring are the
# operator's, and live with their lists in the cache: the machine's apt is left as it is.

# archive_uris: the mirrors that apt itself knows to carry Debian, one a line.
archive_uris() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n 's/^Debian|//p' | sort -u
}

# archive_map FILE FROM TO: prints FILE's entries for the mirrors on stdin with the suites mapped, as deb822.
archive_map() {
    awk -v from="$2" -v to="$3" -v deb822="$([ "${1%.sources}" = "$1" ] && echo 0 || echo 1)" \
        -f "$MF_TOP/setup.d/archive.awk" - "$1"
}

# archive_open TO: writes the derived entries for release TO and brings their lists up to date once a day: the file
# "updated" is as old as the last time that all of them came.
archive_open() {
    local to=$1 uris file
    MF_APT=$MF_CACHE/apt/$to
    mkdir -p "$MF_APT/sources.d" "$MF_APT/lists/partial"
    uris=$(archive_uris)
    if [ -z "$uris" ]; then
        need_root "the package lists must be fetched first"
        packages_update
        uris=$(archive_uris)
    fi
    [ -n "$uris" ] || die "apt knows no Debian mirror" "set up the machine's apt sources, then: apt-get update"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ ! -r "$file" ] || archive_map "$file" "$MF_CODENAME" "$to" <<<"$uris"
    done >"$MF_APT/derived.new"
    [ -s "$MF_APT/derived.new" ] || die "no apt source of this machine names the suite $MF_CODENAME" \
        "name the release by its codename in /etc/apt/sources.list or sources.list.d"
    if ! cmp -s "$MF_APT/derived.new" "$MF_APT/sources.d/derived.sources" ||
        [ -z "$(find "$MF_APT/updated" -mtime -1 2>/dev/null)" ]; then
        rm -f "$MF_APT/updated"
        mv "$MF_APT/derived.new" "$MF_APT/sources.d/derived.sources"
        run_logged "apt-$to" "check the network; the derived entries are in $MF_APT/sources.d" \
            "package lists of $to (private)" archive_apt apt-get -q -o APT::Update::Error-Mode=any update
        touch "$MF_APT/updated"
    fi
    rm -f "$MF_APT/derived.new"
}

# archive_apt apt-get|apt-cache ARGUMENT...: apt with the private entries of the release last opened.
archive_apt() {
    local tool=$1
    shift
    "$tool" -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$MF_APT/sources.d" \
        -o Dir::State::Lists="$MF_APT/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

# archive_apt_in DIR TOOL ARGUMENT...: the same there; for a process of its own, such as that of run_logged.
archive_apt_in() {
    cd "$1" || return
    shift
    archive_apt "$@"
}

# archive_source_versions PACKAGE: versions whose source the opened release offers, newest first.
archive_source_versions() {
    archive_apt apt-cache showsrc --only-source "$1" 2>/dev/null |
        sed -n 's/^Version: //p' | sort -rVu
}
