# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `./setup package kernel` and `package qemu`: recipes that take Debian 13's own source package, patches and all, put
# the series of a queue over it, and build binary packages whose versions are Debian's with MF_PACKAGE_SUFFIX.

MF_PACKAGE_SUFFIX=+memfold1
MF_PACKAGE_MAINTAINER='memfold maintainers <maintainers@memfold.example>'

# package_source QUEUE TITLE: sets MF_DSC to a Debian source package of the queue's base, whole in the cache, and
# MF_DEB_VERSION to its version.
package_source() {
    local queue=$1 title=$2 package candidate
    package=$(base_field "$queue" package)
    source_fetch "$queue" "$title"
    archive_open trixie
    while IFS= read -r candidate; do
        [ "$(source_orig_name "$package" "$candidate")" = "${MF_SOURCE##*/}" ] || continue
        if try_logged "fetch-$package" "$title: fetching Debian's packaging $candidate" archive_apt_in "$MF_CACHE/src" \
            apt-get -q source --download-only --only-source "$package=$candidate"; then
            MF_DEB_VERSION=$candidate
            MF_DSC=$MF_CACHE/src/${package}_${candidate#*:}.dsc
            return 0
        fi
    done < <(archive_source_versions "$package")
    die "the archive has no packaging for ${MF_SOURCE##*/}" \
        "it has moved on: remove $MF_SOURCE, and the newest of its branch is taken"
}

# package_unpack TITLE DIR [OPTION...]: the source package, with Debian's patches. dpkg-source leaves what it had
# unpacked beside DIR when it is interrupted.
package_unpack() {
    local title=$1 dir=$2
    shift 2
    rm -rf "$dir" "${dir%/*}"/*.tmp-extract.?????
    mkdir -p "${dir%/*}"
    run_logged package-unpack "remove $MF_DSC and run setup again" "$title: unpacking ${MF_DSC##*/}" \
        dpkg-source --no-check --no-copy "$@" --extract "$MF_DSC" "$dir"
}

# package_kernel OUTPUT
package_kernel() {
    local output=$1 work=$MF_CACHE/package/kernel need_mib=25000
    [ -z "$MF_PACKAGE_CONFIG" ] || need_mib=6000
    [ "$(free_mib "$MF_CACHE")" -ge $need_mib ] || die "less than $need_mib MiB free in $MF_CACHE" \
        "free some space, or set MEMFOLD_CACHE to a folder on a larger disk"
    packages_install kernel package-kernel
    package_source kernel Linux
    package_unpack Linux "$work/src"
    run_logged package-series "a patch that does not apply is named in the log" \
        "Linux: applying the series" kernel_apply_series "$work/src"
    package_kernel_objects "$work"
    run_logged package-config "read the log" "Linux: configuring" package_kernel_configure "$work"
    run_logged package-kernel "read the log" "Linux: building Debian packages" package_kernel_build "$work"
    # Not linux-libc-dev: the distribution's programs are built with the distribution's headers.
    package_move "$work" "$output" 'linux-image-*.deb' 'linux-headers-*.deb'
    remove_later "$work"
}

# package_kernel_objects WORK: what an interrupted build has compiled is kept for the same source alone: that of
# another series may be younger than a file that is now as Debian has it, and make would take it.
package_kernel_objects() {
    local work=$1 key
    key=$(kernel_key patched)-$MF_DEB_VERSION
    [ "$(cat "$work/build.key" 2>/dev/null)" != "$key" ] || return 0
    rm -rf "$work/build"
    printf '%s\n' "$key" >"$work/build.key"
}

package_kernel_make() {
    local work=$1
    shift
    make --no-print-directory -C "$work/src" O="$work/build" ARCH=x86_64 LOCALVERSION=-memfold -j "$MF_JOBS" "$@"
}

# package_kernel_configure WORK: Debian's own configuration for cloud hosts is in parts, of which the later wins.
package_kernel_configure() {
    local work=$1 parts
    mkdir -p "$work/build"
    if [ -z "$MF_PACKAGE_CONFIG" ]; then
        parts=$(sed -n "s/.*-plinux-headers-[^ ]*-cloud-amd64' .* KCONFIG='\([^']*\)'.*/\1/p" "$work/src/debian/rules.gen" |
            head -n 1)
        [ -n "$parts" ] || { echo "debian/rules.gen names no configuration for cloud-amd64"; return 1; }
        # shellcheck disable=SC2086
        (cd "$work/src" && cat $parts) >"$work/build/.config" || return
        package_kernel_make "$work" olddefconfig
    elif grep -q '^# Linux/.* Kernel Configuration$' "$MF_PACKAGE_CONFIG"; then
        cp "$MF_PACKAGE_CONFIG" "$work/build/.config" && package_kernel_make "$work" olddefconfig
    else
        package_kernel_make "$work" KCONFIG_ALLCONFIG="$MF_PACKAGE_CONFIG" allnoconfig
    fi
}

# package_kernel_build WORK: by the kernel's own rules, without the gigabytes of its debug package. What was compiled
# before an interruption is not compiled again.
package_kernel_build() {
    local maintainer=${MF_PACKAGE_MAINTAINER% <*} address=${MF_PACKAGE_MAINTAINER##*<}
    PATH=/usr/lib/ccache:$PATH DEBFULLNAME=$maintainer DEBEMAIL=${address%>} \
        KDEB_SOURCENAME=linux-memfold KDEB_CHANGELOG_DIST=trixie \
        KDEB_PKGVERSION=${MF_DEB_VERSION#*:}$MF_PACKAGE_SUFFIX DPKG_FLAGS=-Ppkg.linux-memfold.nokerneldbg \
        package_kernel_make "$1" bindeb-pkg
}

# package_qemu OUTPUT
package_qemu() {
    local output=$1 work=$MF_CACHE/package/qemu
    packages_install package-qemu
    package_source qemu-patches QEMU
    package_unpack QEMU "$work/src" --skip-patches
    package_qemu_series "$work/src"
    cp "$MF_SOURCE" "$work/"
    run_logged package-qemu-source "a patch that does not apply is named in the log" \
        "QEMU: applying the series, making a source package" package_qemu_source "$work/src"
    rm -rf "$work/src"
    if ! $MF_PACKAGE_SOURCE_ONLY; then
        need_root "QEMU is built in a root of Debian 13"
        cp "$MF_TOP/setup.d/package-qemu-root.sh" "$work/"
        run_logged package-qemu "read the log" "QEMU: building Debian packages in a root of Debian 13 (hours)" \
            "$MF_TOP/tests/fresh/fresh-root.sh" --cache "$work" trixie \
            bash /var/cache/memfold/package-qemu-root.sh /var/cache/memfold "$MF_JOBS"
    fi
    package_move "$work" "$output" '*.dsc' '*.tar.xz' '*.deb' '*.changes' '*.buildinfo'
    rm -rf "$work"
}

# package_qemu_series DIR: our patches after Debian's, and an entry of the changelog. Those of the capability "build"
# are for who builds the tarball without Debian's packaging, which has patches of its own for that.
package_qemu_series() {
    local dir=$1 patch
    mkdir -p "$dir/debian/patches/memfold"
    while read -r patch; do
        cp "$MF_TOP/qemu-patches/$patch" "$dir/debian/patches/memfold/"
        printf 'memfold/%s\n' "$patch" >>"$dir/debian/patches/series"
    done < <(awk '/^#/ { capability = $2 } /^[^#]/ && capability != "build" { print $1 }' "$MF_TOP/qemu-patches/series")
    {
        printf 'qemu (%s%s) trixie; urgency=medium\n\n' "$MF_DEB_VERSION" "$MF_PACKAGE_SUFFIX"
        printf "  * memfold's series for memory merging.\n\n -- %s  %s\n\n" "$MF_PACKAGE_MAINTAINER" "$(date -R)"
        cat "$dir/debian/changelog"
    } >"$dir/debian/changelog.new"
    mv "$dir/debian/changelog.new" "$dir/debian/changelog"
}

package_qemu_source() {
    cd "$1" && dpkg-source --before-build . &&
        dpkg-buildpackage --build=source --no-pre-clean --no-check-builddeps --unsigned-source --unsigned-changes
}
