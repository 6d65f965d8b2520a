#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Builds the emulator of x86 from a source package of Debian's QEMU, in a root of Debian 13 that can be thrown away:
# package-qemu-root.sh DIR JOBS. DIR has the source package, and gets the binary ones. Debian's rules, but for the
# emulators of other processors, Xen's, and user emulation, which are left out. The package qemu-system has to be
# among those that are built, or the rules build no emulator; it wants all the others, and is left behind.

set -euo pipefail

DIR=$1
PROFILES=pkg.qemu.omit-user,pkg.qemu.omit-system-xen,pkg.qemu.omit-vdso-build-dep,nocheck
OTHERS=(qemu-system-arm qemu-system-mips qemu-system-ppc qemu-system-riscv qemu-system-s390x
    qemu-system-sparc qemu-system-misc)
export DEBIAN_FRONTEND=noninteractive

apt_get() {
    apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}

printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
cd "$DIR"
dsc=$(compgen -G '*.dsc')
apt_get update
apt_get install dpkg-dev
apt_get build-dep --arch-only --build-profiles "$PROFILES" "./$dsc"
mkdir -p /build
dpkg-source --no-check --extract "$dsc" /build/qemu
cd /build/qemu
DH_OPTIONS=${OTHERS[*]/#/-N} DEB_BUILD_OPTIONS="parallel=$2 nocheck" dpkg-buildpackage --build=any \
    --unsigned-changes --build-profiles="$PROFILES" \
    --rules-file='debian/rules system-packages=x86 QEMU_CONFIGURE_OPTIONS=--target-list=i386-softmmu,x86_64-softmmu'
rm -f ../qemu-system_*.deb
mv ../*.deb ../*_amd64.changes ../*_amd64.buildinfo "$DIR/"
