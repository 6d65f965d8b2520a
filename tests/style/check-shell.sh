#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs shellcheck over every shell file of the tree, as TAP.

set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v shellcheck >/dev/null; then
    echo "1..0 # SKIP shellcheck is not installed"
    exit 0
fi
mapfile -t files < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard |
    while IFS= read -r file; do
        [ -f "$file" ] || continue
        case $file in *.sh) echo "$file" ;; *.patch) ;; *)
            ! head -n 1 "$file" | grep -qaE '^#!.*\b(ba)?sh$' || echo "$file" ;;
        esac
    done)
echo 1..1
if problems=$(shellcheck -x --format gcc "${files[@]}"); then
    echo "ok 1 - shellcheck finds nothing in ${#files[@]} files"
else
    echo "not ok 1 - shellcheck finds nothing in ${#files[@]} files"
    printf '# %s\n' "$problems" | sed '2,$s/^/# /'
    exit 1
fi
