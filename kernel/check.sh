# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What each prefix of the series must pass, a part of build.sh: the files that the series touches compile
# without a warning, and in the end the folders of most of them, in every configuration of config/check/, no symbol of KSM is used that the
# configuration does not define, sparse and gcc's further warnings (W=1) have nothing to say about the
# lines that the series adds to the files of the last commit, and the self-tests compile. Objects, not
# images: a prefix takes minutes less. SRCDIR is a git tree as queue.sh makes it.

CHECK_NUMBER=0
CHECK_FAILED=0
# Compiled whole at the end of the series, since they include what it changes. Of a prefix, and of other
# folders, the files that the series touches: what is right in the end and not in between is in these.
CHECK_FOLDERS='mm fs/proc'

# check NAME COMMAND...: one result; the command's output shows only when it fails.
check() {
    local name=$1 output
    shift
    CHECK_NUMBER=$((CHECK_NUMBER + 1))
    if output=$("$@" 2>&1); then
        printf 'ok %s - %s\n' "$CHECK_NUMBER" "$name"
    else
        printf 'not ok %s - %s\n' "$CHECK_NUMBER" "$name"
        tail -n 30 <<<"$output" | sed 's/^/# /'
        CHECK_FAILED=1
    fi
}

touched() {
    series | sed "s:^:$QUEUE/:" | xargs -r sed -n 's:^+++ b/::p' | sort -u
}

# is_complete SRC: has it all patches of the series?
is_complete() {
    [ "$(git -C "$1" rev-list --count HEAD)" -gt "$(series | wc -l)" ]
}

# belongs BUILD FILE: is FILE, of a folder that was compiled whole once, in that configuration? The ones
# that were not there then are parts of KSM.
belongs() {
    [ -f "$1/${2%.c}.o" ] || { [[ $2 == mm/ksm_*.c ]] && [ -f "$1/mm/ksm.o" ]; }
}

# object_targets SRC BUILD: what to make.
object_targets() {
    local file whole=false
    if [ ! -f "$2/mm/built-in.a" ] || is_complete "$1"; then
        whole=true
        # shellcheck disable=SC2086
        printf '%s/\n' $CHECK_FOLDERS
    fi
    while read -r file; do
        [[ $file == *.c && -f $1/$file ]] || continue
        case $file in
        arch/* | drivers/* | tools/* | samples/*) continue ;;
        mm/* | fs/proc/*) if $whole || ! belongs "$2" "$file"; then continue; fi ;;
        esac
        printf '%s\n' "${file%.c}.o"
    done < <(touched)
}

# compile SRC BUILD FRAGMENT...
compile() {
    local src=$1 build=$2
    local -a targets
    shift 2
    mapfile -t targets < <(object_targets "$src" "$build")
    configure "$src" "$build" "$@" || return
    make_kernel "$src" "$build" -s "${targets[@]}"
}

# undefined_symbols BUILD: those of KSM that objects use and no object defines.
undefined_symbols() {
    local folder symbols
    symbols=$(for folder in $CHECK_FOLDERS kernel fs; do
        [ ! -d "$1/$folder" ] || find "$1/$folder" -name '*.o' ! -name built-in.o ! -name vmlinux.o
    done | xargs nm 2>/dev/null | grep -i ksm | awk 'NF == 2 && $1 == "U" { used[$2] } NF == 3 { defined[$3] }
        END { for (name in used) if (!(name in defined)) print name }')
    [ -z "$symbols" ] || { printf 'used and not defined: %s\n' "$symbols"; return 1; }
}

# added_lines SRC FILE: the numbers of the lines that the series has added to FILE so far.
added_lines() {
    local root
    root=$(git -C "$1" rev-list --max-parents=0 HEAD)
    git -C "$1" diff -U0 "$root" HEAD -- "$2" | sed -n 's/^@@ .* +\([0-9]*\)\(,\([0-9]*\)\)\? @@.*/\1 \3/p' |
        while read -r first count; do
            seq "$first" $((first + ${count:-1} - 1))
        done
}

# analyse SRC BUILD: sparse and W=1 over the files of the last commit, for the series' own lines. Whoever
# uses pte_offset_map_lock() seems unbalanced to sparse, since that has no annotation: not counted.
analyse() {
    local src=$1 build=$2 file found=0
    command -v sparse >/dev/null || { echo 'sparse is not installed'; return 1; }
    configure "$src" "$build" "$QUEUE/config/base.config" || return
    while read -r file; do
        make_kernel "$src" "$build" -s C=2 W=1 "${file%.c}.o" >"$build/analyse.log" 2>&1 || {
            cat "$build/analyse.log"
            return 1
        }
        grep -E "(^|/)$file:[0-9]+:([0-9]+:)? (warning|error|also)" "$build/analyse.log" |
            grep -v 'context imbalance in' >"$build/analyse.found" || true
        added_lines "$src" "$file" | sed "s,.*,$file:&:," | grep -Ff - "$build/analyse.found" || continue
        found=1
    done < <(git -C "$src" diff --name-only --diff-filter=AM HEAD~1 HEAD 2>/dev/null |
        grep -E '^(mm|fs|kernel|ipc)/.*\.c$' || true)
    return $found
}

# check_configuration SRC BUILD NAME
check_configuration() {
    local -a fragments=("$QUEUE/config/base.config" "$QUEUE/config/check/$3.config")
    [ "$3" != i386 ] || fragments=("$QUEUE/config/check/i386.config")
    compile "$1" "$2" "${fragments[@]}" && undefined_symbols "$2"
}

# check_all SRC BUILD
check_all() {
    local src=$1 build=$2 name
    git -C "$src" rev-parse --verify -q HEAD >/dev/null || die "$src is not under git (queue.sh import makes it so)"
    for name in "$QUEUE"/config/check/*.config; do
        name=$(basename "$name" .config)
        ARCH=$([ "$name" = i386 ] && echo i386 || echo x86_64)
        check "compiles ($name)" check_configuration "$src" "$build/$name" "$name"
    done
    ARCH=x86_64
    check "sparse and W=1" analyse "$src" "$build/analyse"
    check "self-tests compile" build_selftests "$src" "$build/ksm"
    printf '1..%s\n' "$CHECK_NUMBER"
    return $CHECK_FAILED
}
