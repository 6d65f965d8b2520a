#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What Debian's own checker says of our packages, as TAP: lintian.sh DIR, which has them. An error or a warning fails.

set -uo pipefail
mapfile -t files < <(compgen -G "$1/*.deb" | grep -v dbgsym)
echo 1..1
if found=$(lintian --allow-root --fail-on error,warning --tag-display-limit 0 --info "${files[@]}" 2>&1); then
    echo "ok 1 - lintian has no error and no warning for ${#files[@]} packages"
else
    echo "not ok 1 - lintian has no error and no warning for ${#files[@]} packages"
    printf '# %s\n' "${found//$'\n'/$'\n# '}"
    exit 1
fi
