#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# meson install: puts the configuration in place, and never over one that an operator has changed; then
# the shipped one stands beside it as memfold.conf.new.
#
# Usage: install-config.sh FILE DIRECTORY

set -eu
target=${DESTDIR:-}$2/memfold.conf
mkdir -p "${target%/*}"
if [ -e "$target" ] && ! cmp -s "$1" "$target"; then
    echo "keeping $target, the shipped one is $target.new"
    target=$target.new
fi
install -m 0644 "$1" "$target"
