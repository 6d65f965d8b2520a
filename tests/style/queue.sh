#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A patch queue: a folder with BASE (the source it is made for), series (its order) and the patches as
# `git format-patch` writes them. A tree under git is the other form of it; import and export convert,
# and neither depends on the clock, on the user or on the history that the tree has.
set -euo pipefail
# A series may have no patch yet.
shopt -s nullglob

AUTHOR='memfold maintainers'
ADDRESS='maintainers@memfold.example'
EPOCH='2026-01-01T00:00:00Z'
FORMAT=(--no-numbered --zero-commit --no-signature --full-index --diff-algorithm=myers --no-renames -N)
STATUS='(Pending|Submitted \[.+\]|Backport \[.+\]|Inappropriate \[.+\])'

usage() {
    cat <<'EOF'
usage: queue.sh import QUEUE SRCDIR [--tarball FILE]
       queue.sh export QUEUE SRCDIR
       queue.sh verify QUEUE [--each] [--tarball FILE] [--work DIR]
       queue.sh lint QUEUE...

  import   SRCDIR becomes a git tree of the base with one commit for each patch. It is an unpacked base,
           or does not exist and is unpacked from the tarball.
  export   write the commits of SRCDIR back to QUEUE, and its series
  verify   the tarball is the one that BASE names; all patches apply exactly; exporting them again gives
           the same bytes; the host project's checkpatch has nothing to say; and what lint checks.
           A tarball of an "also:" line of BASE is checked for applying and building only.
  lint     what can be seen without the source: series and files agree, form of BASE, names and trailers

  --each   build after every patch with QUEUE/build.sh, and run the tests that are there by then
  --tarball FILE  the base's source; without it, BASE's file in the current folder
  --work DIR      scratch space; kept, so that a second run with --each builds only what has changed
EOF
}

die() {
    printf 'queue.sh: %s\n' "$*" >&2
    exit 1
}

# base_field QUEUE NAME: a line "NAME: value" of BASE.
base_field() {
    sed -n "s/^$2: *//p" "$1/BASE"
}

series_of() {
    sed 's/[[:space:]]*#.*//; /^$/d' "$1/series"
}

# git_tree SRCDIR ARGUMENT...: git without the user's settings.
git_tree() {
    local src=$1
    shift
    GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
        GIT_COMMITTER_NAME=$AUTHOR GIT_COMMITTER_EMAIL=$ADDRESS \
        git -C "$src" -c gc.auto=0 -c core.autocrlf=false -c core.abbrev=12 "$@"
}

# root_of SRCDIR: the commit of the base.
root_of() {
    git_tree "$1" rev-list --max-parents=0 HEAD
}

# unpack TARBALL SRCDIR [PATTERN...]: all of it, or what matches.
unpack() {
    local tarball=$1 src=$2
    shift 2
    [ -f "$tarball" ] || die "no $tarball: name the base's source with --tarball"
    mkdir -p "$src"
    tar -xf "$tarball" -C "$src" --strip-components=1 --no-same-owner --wildcards --no-wildcards-match-slash "$@"
}

# paths_for_verify QUEUE: patterns of the files that the series changes and that checkpatch wants to see.
paths_for_verify() {
    local queue=$1
    sed 's:^:*/:' "$queue/verify.paths"
    # shellcheck disable=SC2016
    series_of "$queue" | sed "s:^:$queue/:" | xargs -r awk '
        /^--- / { from = $2 }
        /^\+\+\+ / { if (from == "/dev/null") made[substr($2, 3)]; else changed[substr(from, 3)] }
        END { for (name in changed) if (!(name in made)) print "*/" name }'
}

# make_base QUEUE SRCDIR: the unpacked source as the first commit. Taken for big files, all its files go
# into one pack, which is quicker than a file each.
make_base() {
    git_tree "$2" init -q -b queue
    git_tree "$2" -c core.bigFileThreshold=1 -c core.compression=1 add -A -f .
    GIT_AUTHOR_DATE=$EPOCH GIT_COMMITTER_DATE=$EPOCH GIT_AUTHOR_NAME=$AUTHOR GIT_AUTHOR_EMAIL=$ADDRESS \
        git_tree "$2" commit -q -m "base: $(base_field "$1" tag)"
}

import() {
    local queue=$1 src=$2 tarball=$3 patch
    [ -d "$src" ] || unpack "$tarball" "$src"
    [ ! -e "$src/.git" ] || die "$src is under git already: take an unpacked base"
    make_base "$queue" "$src"
    while read -r patch; do
        git_tree "$src" am -q --keep-cr --no-3way --committer-date-is-author-date "$(realpath "$queue/$patch")" ||
            die "$patch does not apply to $src"
    done < <(series_of "$queue")
}

# The series with a heading wherever the capability changes.
write_series() {
    local patch capability last=
    for patch in "$1"/[0-9]*.patch; do
        capability=$(sed -n 's/^Memfold-Capability: *//p' "$patch")
        [ "$capability" = "$last" ] || printf '# %s\n' "$capability"
        last=$capability
        printf '%s\n' "${patch##*/}"
    done
}

export_queue() {
    local queue=$1 src=$2 new
    new=$(mktemp -d)
    git_tree "$src" format-patch -q "${FORMAT[@]}" -o "$new" "$(root_of "$src")..HEAD"
    write_series "$new" >"$new/series"
    rm -f "$queue"/[0-9]*.patch
    mv "$new"/* "$queue/"
    rmdir "$new"
}

# --- lint ---------------------------------------------------------------------------------------------

PROBLEMS=0

problem() {
    printf '%s\n' "$*"
    PROBLEMS=$((PROBLEMS + 1))
}

lint_base() {
    local name
    for name in tag version file sha256; do
        [ "$(base_field "$1" "$name" | wc -l)" = 1 ] || problem "$1/BASE: one line '$name:' is needed"
    done
    base_field "$1" sha256 | grep -Eqx '[0-9a-f]{64}' || problem "$1/BASE: sha256 has 64 hexadecimal digits"
    ! base_field "$1" also | grep -Evqx '[^ ]+ [0-9a-f]{64}' || problem "$1/BASE: also: FILE SHA256"
}

# lint_patch FILE: headers, subject, trailers, and no trace of the tree it came from.
lint_patch() {
    local subject name
    subject=$(sed -n 's/^Subject: \[PATCH\] //p' "$1")
    [ "$(sed -n '1{p;q}' "$1")" = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001" ] ||
        problem "$1: was not made by queue.sh export"
    grep -qx "From: $AUTHOR <$ADDRESS>" "$1" || problem "$1: the author is not $AUTHOR"
    [ -n "$subject" ] || problem "$1: no subject"
    ! grep -Eq '^(fixup!|squash!|amend!|wip\b|WIP\b)' <<<"$subject" || problem "$1: a fix-up is not a patch: $subject"
    for name in Memfold-Capability Upstream-Status; do
        [ "$(grep -c "^$name: " "$1")" = 1 ] || problem "$1: one trailer $name: is needed"
    done
    grep -Eq "^Upstream-Status: $STATUS\$" "$1" || problem "$1: Upstream-Status: is one of $STATUS"
    grep -qx "Signed-off-by: $AUTHOR <$ADDRESS>" "$1" || problem "$1: no sign-off of $AUTHOR"
}

lint() {
    local queue=$1 patch
    [ -f "$queue/BASE" ] || die "$queue has no BASE"
    [ -f "$queue/series" ] || die "$queue has no series"
    lint_base "$queue"
    if ! diff <(series_of "$queue") <(cd "$queue" && files=([0-9]*.patch) && printf '%s\n' "${files[@]}" | sed '/^$/d'); then
        problem "$queue/series: differs from the files that are there (<: series, >: files)"
    fi
    cmp -s "$queue/series" <(write_series "$queue") || problem "$queue/series: was not made by queue.sh export"
    for patch in "$queue"/[0-9]*.patch; do
        lint_patch "$patch"
    done
}

# --- verify -------------------------------------------------------------------------------------------

# is_base QUEUE TARBALL: succeeds for the base itself, fails for one of "also:", ends for others.
is_base() {
    local sum
    [ -f "$2" ] || die "no $2: name the base's source with --tarball"
    sum=$(sha256sum <"$2" | cut -d ' ' -f 1)
    [ "$sum" != "$(base_field "$1" sha256)" ] || return 0
    base_field "$1" also | grep -q " $sum\$" || die "$2 is not a file that $1/BASE names (sha256 $sum)"
    return 1
}

verify_bytes() {
    local queue=$1 src=$2 again file
    again=$(mktemp -d)
    export_queue "$again" "$src"
    for file in "$again"/*; do
        cmp "$file" "$queue/${file##*/}" || problem "$queue: export does not give back ${file##*/}"
    done
    rm -rf "$again"
}

# Notes that the host project's checkpatch gets wrong are named in QUEUE/checkpatch.args.
verify_checkpatch() {
    local queue=$1 src=$2 patch
    local -a args=()
    [ ! -f "$queue/checkpatch.args" ] || mapfile -t args <"$queue/checkpatch.args"
    while read -r patch; do
        (cd "$src" && perl scripts/checkpatch.pl -q "${args[@]}" "$queue/$patch" 2>/dev/null) ||
            problem "$patch: checkpatch complains"
    done < <(series_of "$queue")
}

# What has been built well is remembered in WORK by its tree and by how it is built.
verify_each() {
    local queue=$1 src=$2 work=$3 commit count=0 total key how
    how=$(find "$queue" -type f ! -name '*.patch' ! -name series ! -name '*.md' -print0 | sort -z | xargs -0 cat | sha256sum)
    touch "$work/each.done"
    total=$(git_tree "$src" rev-list --count "$(root_of "$src")..HEAD")
    while read -r commit; do
        count=$((count + 1))
        printf '%s/%s %s\n' "$count" "$total" "$(git_tree "$src" log -1 --format=%s "$commit")"
        key="$(git_tree "$src" rev-parse "$commit^{tree}") ${how%% *}"
        ! grep -qxF "$key" "$work/each.done" || continue
        git_tree "$src" checkout -q "$commit"
        if ! "$queue/build.sh" --patched --test "$src" "$work/build" >"$work/each.log" 2>&1; then
            tail -n 20 "$work/each.log"
            problem "patch $count does not build, or its tests fail"
        else
            printf '%s\n' "$key" >>"$work/each.done"
        fi
        grep -E '^(ok|not ok) ' "$work/each.log" || true
    done < <(git_tree "$src" rev-list --reverse "$(root_of "$src")..HEAD")
}

verify() {
    local queue=$1 tarball=$2 each=$3 work=$4 pinned=true
    local -a paths
    lint "$queue"
    is_base "$queue" "$tarball" || pinned=false
    rm -rf "$work/src"
    # A large base takes minutes: where only patches are looked at, what they touch is enough.
    if [ -f "$queue/verify.paths" ] && ! $each; then
        mapfile -t paths < <(paths_for_verify "$queue" | sort -u)
        unpack "$tarball" "$work/src" "${paths[@]}"
    fi
    import "$queue" "$work/src" "$tarball"
    if $pinned; then
        verify_bytes "$queue" "$work/src"
        verify_checkpatch "$queue" "$work/src"
    fi
    ! $each || verify_each "$queue" "$work/src" "$work"
    [ $PROBLEMS -eq 0 ] || die "$queue: $PROBLEMS problems"
    printf '%s: %s patches fit %s\n' "$queue" "$(series_of "$queue" | wc -l)" "${tarball##*/}"
}

# --- command line -------------------------------------------------------------------------------------

each=false tarball='' work=''
words=()
while [ $# -gt 0 ]; do
    case $1 in
        --each) each=true ;;
        --tarball | --work)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            if [ "$1" = --work ]; then work=$2; else tarball=$2; fi
            shift
            ;;
        --help | -h) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) words+=("$1") ;;
    esac
    shift
done
[ ${#words[@]} -ge 2 ] || { usage >&2; exit 2; }
[ -d "${words[1]}" ] || die "no folder ${words[1]}"
queue=$(realpath "${words[1]}")
tarball=${tarball:-$(base_field "$queue" file)}

case ${words[0]}/${#words[@]} in
    import/3) import "$queue" "${words[2]}" "$tarball" ;;
    export/3) export_queue "$queue" "${words[2]}" ;;
    verify/2)
        scratch=
        [ -n "$work" ] || { scratch=$(mktemp -d); work=$scratch; }
        trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT
        mkdir -p "$work"
        verify "$queue" "$tarball" $each "$(realpath "$work")"
        ;;
    lint/*)
        for queue in "${words[@]:1}"; do
            lint "$(realpath "$queue")"
        done
        [ $PROBLEMS -eq 0 ] || exit 1
        ;;
    *) usage >&2; exit 2 ;;
esac
