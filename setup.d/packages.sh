# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages: lists by purpose in setup.d/packages/, one look at dpkg for what is missing, and apt-get
# only when something is.  The machine's apt configuration is used as it is and never changed.

# packages_listed PURPOSE...: names for this release; a line is "package [codename]", # starts a comment.
packages_listed() {
    local purpose
    for purpose in "$@"; do
        sed 's/#.*//' "$MF_TOP/setup.d/packages/$purpose.list"
    done | awk -v codename="$MF_CODENAME" 'NF == 1 || (NF > 1 && $2 == codename) { print $1 }' | sort -u
}

packages_missing() {
    local wanted
    wanted=$(packages_listed "$@")
    # shellcheck disable=SC2086
    { dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null || true; } |
        awk '$1 == "installed" { print $2 }' | sort -u |
        comm -23 <(printf '%s\n' "$wanted") -
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
        -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@"
}

# packages_known PACKAGE...: true when apt has a candidate for each.
packages_known() {
    local candidates
    candidates=$(apt-cache policy "$@" | grep -c '^  Candidate: [^(]') || true
    [ "$candidates" -eq $# ]
}

# Without an init system the archive's maintainer scripts would start daemons by hand, so for the
# time of the installation they are told not to.  With one, the operator's machine decides.
quiet_services_begin() {
    MF_POLICY_RC=
    if [ ! -d /run/systemd/system ] && [ ! -e /usr/sbin/policy-rc.d ]; then
        MF_POLICY_RC=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$MF_POLICY_RC"
        chmod 755 "$MF_POLICY_RC"
        trap quiet_services_end EXIT
    fi
}

quiet_services_end() {
    [ -z "${MF_POLICY_RC:-}" ] || rm -f "$MF_POLICY_RC"
    MF_POLICY_RC=
}

# packages_removed PACKAGE...: what apt would remove for them.
packages_removed() {
    apt_get --simulate install --no-install-recommends "$@" 2>/dev/null | sed -n 's/^Remv \([^ ]*\).*/\1/p' || true
}

# package_aside NAME FOLDER REMEDY: what is in a package, in FOLDER/tree, and not installed.
package_aside() {
    local name=$1 folder=$2
    [ ! -e "$folder/complete" ] || return 0
    rm -rf "$folder"
    # apt's own user can't write here, so it fetches as root: what root unpacks nobody else may replace meanwhile.
    mkdir -p "$folder" && mkdir -m 755 "$folder/deb"
    packages_known "$name" || packages_update
    run_logged "$name" "$3" "$name: fetching its package" package_aside_fetch "$name" "$folder"
    touch "$folder/complete"
}

package_aside_fetch() {
    (cd "$2/deb" && apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$1") || return
    dpkg-deb --extract "$2/deb/$1"_*.deb "$2/tree"
}

# busybox_ready: sets MEMFOLD_BUSYBOX to a static one. Its package cannot be beside the other busybox, which many
# machines have, and which is not ours to remove.
busybox_ready() {
    export MEMFOLD_BUSYBOX=/bin/busybox
    [ "$(dpkg-query -W -f '${db:Status-Status}' busybox-static 2>/dev/null)" != installed ] || return 0
    package_aside busybox-static "$MF_CACHE/tools/busybox" "check the network"
    MEMFOLD_BUSYBOX=$(find "$MF_CACHE/tools/busybox/tree" -type f -path '*/bin/busybox')
}

packages_update() {
    run_logged apt-update "check the network and the machine's apt sources" \
        "package lists: apt-get update" apt_get update
}

# packages_install PURPOSE...
packages_install() {
    local missing names removed \
        remedy="read the log; what is broken is often mended by: dpkg --configure -a && apt-get -f install"
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    names=$(printf '%s' "$missing" | tr '\n' ' ')
    [ "$(id -u)" -eq 0 ] || die "packages are missing: $names" \
        "run as root: apt-get install --no-install-recommends $names"
    local -a list install=(apt_get install --no-remove --no-install-recommends)
    mapfile -t list <<<"$missing"
    quiet_services_begin
    packages_known "${list[@]}" || packages_update
    removed=$(packages_removed "${list[@]}" | tr '\n' ' ')
    [ -z "$removed" ] || die "for the packages $names apt would remove: $removed" \
        "if nobody needs these: apt-get install --no-install-recommends $names"
    say "packages that are missing: $names"
    if ! try_logged apt-fetch "packages: fetching ${#list[@]} and what they need" \
        "${install[@]}" --download-only "${list[@]}"; then
        packages_update
        run_logged apt-fetch "$remedy" "packages: fetching again after an update" \
            "${install[@]}" --download-only "${list[@]}"
    fi
    # A dpkg that is cut off leaves what only the operator can mend.
    MF_CHILD_KEEP=yes run_logged apt-install "$remedy" "packages: installing" "${install[@]}" "${list[@]}"
    quiet_services_end
}
