#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Builds the guests that tests and the demo boot:
#
#   build.sh [--tiny-only] OUTDIR
#
# OUTDIR/tiny.rom         our own guest: 64 KiB of ROM without firmware or kernel
# OUTDIR/linux.kernel     the distribution's cloud kernel, taken out of its package (not installed)
# OUTDIR/linux.initramfs  our own process 1 for it, and the modules of a memory balloon
# OUTDIR/linux.release    the kernel's release
#
# The package is kept in $MEMFOLD_CACHE/debs (default /var/cache/memfold/debs); what is up to date
# is not built again. Needs gcc, binutils, libc6-dev, cpio, gzip and, for the kernel, apt, dpkg and xz.
set -eu

fail() {
    echo "tests/guest/build.sh: $1" >&2
    exit 1
}

tiny_only=no
if [ "${1-}" = --tiny-only ]; then
    tiny_only=yes
    shift
fi
[ $# -eq 1 ] || fail "usage: build.sh [--tiny-only] OUTDIR"

source=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
cc=${CC:-gcc}
warnings="-std=gnu17 -Wall -Wextra -Werror"
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

# True if $1 is missing or older than one of the sources that follow.
stale() {
    target=$1
    shift
    [ -e "$target" ] || return 0
    [ -n "$(find "$@" -newer "$target" -print -quit)" ]
}

build_tiny() {
    # shellcheck disable=SC2086
    $cc $warnings -m32 -march=i686 -O2 -ffreestanding -fno-builtin -fno-pic -fno-pie \
        -fno-stack-protector -fno-asynchronous-unwind-tables -fno-delete-null-pointer-checks \
        -fcf-protection=none -nostdlib -static -Wl,--build-id=none -Wl,--no-warn-rwx-segments \
        -Wl,-T,"$source/tiny/rom.ld" -o "$work/tiny.elf" "$source/tiny/rom.S" "$source/tiny/main.c" \
        || fail "the tiny guest does not build; is $cc able to make 32-bit code (-m32)?"
    objcopy -O binary -j .text -j .boot --gap-fill 0x90 "$work/tiny.elf" "$work/tiny.rom"
    [ "$(stat -c %s "$work/tiny.rom")" = 65536 ] || fail "the tiny guest's ROM is not 64 KiB"
    chmod 644 "$work/tiny.rom"
    mv "$work/tiny.rom" "$out/tiny.rom"
}

# What a balloon takes, in the order of loading. A kernel that has one built in has no such file.
modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_balloon"

# Puts the kernel package's modules where init loads them from, numbered in their order.
place_modules() {
    release=$(cat "$out/linux.release")
    number=0
    mkdir "$work/modules" "$work/contents/modules"
    dpkg-deb --fsys-tarfile "$(kept_deb "linux-image-$release")" |
        tar -x -C "$work/modules" --wildcards '*/kernel/drivers/virtio/*' ||
        fail "the kernel's package holds no modules of virtio"
    for module in $modules; do
        number=$((number + 1))
        file=$(find "$work/modules" -name "$module.ko*")
        case $file in
        '') ;;
        *.xz) xz -dc "$file" > "$work/contents/modules/$number-$module.ko" ;;
        *) cp "$file" "$work/contents/modules/$number-$module.ko" ;;
        esac
    done
}

build_initramfs() {
    mkdir "$work/contents"
    place_modules
    # shellcheck disable=SC2086
    $cc $warnings -Os -static -s -o "$work/contents/init" "$source/linux/init.c" \
        || fail "the Linux guest's init does not build; is libc6-dev installed?"
    find "$work/contents" -exec touch -d @0 {} +
    (cd "$work/contents" && find . | LC_ALL=C sort | cpio --quiet --reproducible -H newc -R 0:0 -o) |
        gzip -9n > "$work/initramfs"
    mv "$work/initramfs" "$out/linux.initramfs"
}

# Prints NAME=VERSION of the kernel image that the distribution's cloud metapackage stands for.
kernel_package() {
    LC_ALL=C LANGUAGE='' apt-cache depends --important linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

# kept_deb PACKAGE: its newest file in the cache, or nothing.
kept_deb() {
    find "${MEMFOLD_CACHE:-/var/cache/memfold}/debs" -name "${1}_*.deb" | sort | tail -n 1
}

fetch_kernel() {
    package=$(kernel_package)
    [ -n "$package" ] || fail "no kernel package found: run apt-get update, and check that the \
archive has linux-image-cloud-amd64"
    release=${package#linux-image-}
    if [ -e "$out/linux.kernel" ] && [ "$(cat "$out/linux.release" 2>/dev/null)" = "$release" ] &&
        [ -n "$(kept_deb "$package")" ]; then
        return
    fi
    debs=${MEMFOLD_CACHE:-/var/cache/memfold}/debs
    mkdir -p "$debs"
    deb=$(kept_deb "$package")
    if [ -z "$deb" ]; then
        echo "fetching $package" >&2
        # apt's own user can't write here, so it fetches as root; nobody else may put a package here
        mkdir -m 755 "$work/deb"
        (cd "$work/deb" && apt-get -q=2 -o APT::Sandbox::User=root download "$package") >&2 ||
            fail "cannot fetch $package; is the archive reachable, and its index fresh (apt-get update)?"
        mv "$work/deb/"*.deb "$debs/"
        deb=$(kept_deb "$package")
    fi
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" "./boot/vmlinuz-$release" ||
        fail "$deb holds no kernel; remove it and try again"
    mv "$work/boot/vmlinuz-$release" "$out/linux.kernel"
    echo "$release" > "$out/linux.release"
}

if stale "$out/tiny.rom" "$source/tiny" "$source/"*.h "$source/build.sh"; then
    build_tiny
fi
[ $tiny_only = no ] || exit 0
fetch_kernel
if stale "$out/linux.initramfs" "$source/linux" "$source/"*.h "$source/build.sh" "$out/linux.release"; then
    build_initramfs
fi
