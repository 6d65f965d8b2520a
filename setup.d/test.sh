# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The test tiers.  Builds count as tests too.  Every tier leaves its results as TAP or as meson's log
# in one folder, and tests/lib/results.py makes the last line and the exit status of them.

MF_TIERS="style unit fake fuzz daemon qemu demo kernel kernel-speed stack"
# Tiers that run only when they are named: they build more kernels, and the last two run for long.
MF_TIERS_MORE="kernel-cost kernel-kasan kernel-long storm stack-long package"
# Tiers that need a build of memfold.
MF_TIERS_MESON="unit fake fuzz daemon qemu demo"
# Tiers that are run in the clang and the sanitizer build as well; the others need the machine.
MF_TIERS_EVERY_BUILD="unit fake daemon"
MF_TIER_LIMIT_SEC=2400

cmd_test() {
    local tier
    local -a tiers=("$@")
    for tier in "${tiers[@]}"; do
        [[ " $MF_TIERS $MF_TIERS_MORE " == *" $tier "* ]] ||
            die "unknown test tier \"$tier\"" "choose of: $MF_TIERS $MF_TIERS_MORE"
    done
    [ $# -gt 0 ] || read -ra tiers <<<"$MF_TIERS"
    need_supported_distribution
    # The logs as well: while these tests run, another setup may have the cache, and write logs of the same names.
    MF_RESULTS=$MF_CACHE/results/$(date +%Y%m%d-%H%M%S)-$$
    MF_LOGS=$MF_RESULTS/log
    mkdir -p "$MF_LOGS"
    test_needs "${tiers[@]}"
    find "$MF_CACHE/results" -mindepth 1 -maxdepth 1 -mtime +3 -exec rm -rf {} +
    if any_of "$MF_TIERS_MESON storm stack stack-long" "${tiers[@]}"; then
        test_builds "${tiers[@]}"
    fi
    cache_unlock
    export_environment
    for tier in "${tiers[@]}"; do
        case $tier in
        style) test_tier_style ;;
        kernel*) test_tier_kernel "$tier" ;;
        storm) test_tier_storm ;;
        package) test_tier_package ;;
        stack) test_tier_stack stack ;;
        stack-long) test_tier_stack stack-long --long ;;
        *) test_tier_meson "$tier" ;;
        esac
    done
    exec "$MF_TOP/tests/lib/results.py" --allowed "$MF_TOP/tests/skips.allowed" "$MF_RESULTS"
}

# any_of LIST WORD...: whether one of the words is in the list.
any_of() {
    local list=$1 word
    shift
    for word in "$@"; do
        [[ " $list " != *" $word "* ]] || return 0
    done
    return 1
}

# test_needs TIER...: packages, QEMU, guests and kernels, as far as the tiers ask for them.
test_needs() {
    if any_of "qemu demo stack stack-long" "$@"; then
        packages_install build qemu run test
        qemu_ready
        guest_ready
        apparmor_ready
    elif any_of "$MF_TIERS_MESON storm" "$@"; then
        packages_install build run test
    elif any_of style "$@"; then
        packages_install build test
    fi
    ! any_of package "$@" || test_package_build
    test_kernels "$@"
}

# test_kernels TIER...: the kernels that these tiers boot; those without the series are built first.
test_kernels() {
    local tier variant wanted=" "
    local -a variants=()
    for tier in "$@"; do
        [[ $tier != kernel* && $tier != storm && $tier != stack* ]] || wanted+="$(kernels_of "$tier") "
    done
    for variant in stock bench-stock patched bench kasan; do
        [[ $wanted != *" $variant "* ]] || variants+=("$variant")
    done
    [ ${#variants[@]} -gt 0 ] || return 0
    packages_install kernel
    kernel_ready "${variants[@]}"
}

# test_tier_storm: all guests of a host with too little memory rewrite it, with memfoldd and without.
test_tier_storm() {
    try_logged test-storm "tests: storm" timeout "$MF_TIER_LIMIT_SEC" "$MF_TOP/tests/storm/run.py" \
        --kernel "$(kernel_dir bench)" --memfoldd "$(build_dir gcc)/src/daemon/memfoldd" \
        --tap "$MF_RESULTS/storm.tap" || true
    [ -e "$MF_RESULTS/storm.tap" ] || test_report storm-run 1 "the storm runs to its end" "$MF_LOGS/test-storm.log"
}

# test_report NAME STATUS TEXT [LOG]: one TAP result of setup's own; a failure shows the log's end.
test_report() {
    {
        printf '1..1\n%s 1 - %s\n' "$([ "$2" = 0 ] && echo ok || echo not ok)" "$3"
        [ "$2" = 0 ] || [ -z "${4:-}" ] || tail -n 30 "$4" | sed 's/^/# /'
    } >"$MF_RESULTS/$1.tap"
}

test_builds() {
    local kind status
    MF_BUILDS_FAILED=
    for kind in $(test_kinds "$@"); do
        status=0
        try_logged "build-$kind" "memfold: building ($kind)" build_compile "$kind" || status=$?
        [ $status -eq 0 ] || MF_BUILDS_FAILED+=" $kind "
        test_report "build-$kind" $status "memfold builds without a warning ($kind)" "$MF_LOGS/build-$kind.log"
    done
    [ ! -e "$(build_dir gcc)/build.ninja" ] || test_suites_known
}

# test_suites_known: a test whose suite is no tier would never run.
test_suites_known() {
    local suites suite status=0
    suites=$(meson introspect --tests "$(build_dir gcc)" | grep -o '"suite": \[[^]]*\]' |
        grep -o '"[a-z:-]*"' | tr -d '"' | sed 's/.*://' | grep -vx suite | sort -u)
    for suite in $suites; do
        if ! any_of "$MF_TIERS" "$suite"; then
            say "tests/: the suite \"$suite\" is none of the tiers ($MF_TIERS)"
            status=1
        fi
    done
    test_report suites $status "every suite of tests is a tier"
}

# test_kinds TIER...: the builds that the tiers run in.
test_kinds() {
    [ "$*" = fuzz ] || echo gcc
    ! any_of "$MF_TIERS_EVERY_BUILD" "$@" || printf 'clang\nasan\n'
    ! any_of fuzz "$@" || echo fuzz
}

test_tier_style() {
    local check name
    for check in "$MF_TOP"/tests/style/check-*; do
        [ -x "$check" ] || continue
        name=$(basename "${check%.*}")
        try_logged "style-$name" "style: $name" timeout 600 "$check" || true
        cp "$MF_LOGS/style-$name.log" "$MF_RESULTS/style-$name.tap"
    done
}

test_tier_meson() {
    local tier=$1 kind
    for kind in $(test_kinds "$tier"); do
        # What an older build left is no proof of this one.
        [[ "$MF_BUILDS_FAILED" == *" $kind "* ]] || test_suite "$tier" "$kind"
    done
}

# test_suite TIER KIND: that suite of meson's tests in one build; slow machines get three times the limits.
test_suite() {
    local tier=$1 kind=$2 dir log status=0
    dir=$(build_dir "$kind")
    log=$dir/meson-logs/testlog-$tier.json
    rm -f "$log"
    try_logged "test-$tier-$kind" "tests: $tier ($kind)" timeout "$MF_TIER_LIMIT_SEC" \
        env MEMFOLD_BUILD="$dir" ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        meson test -C "$dir" --no-rebuild --suite "$tier" --num-processes "$MF_JOBS" \
        --timeout-multiplier 3 --logbase "testlog-$tier" || status=$?
    if [ -s "$log" ]; then
        cp "$log" "$MF_RESULTS/$tier-$kind.json"
    else
        test_report "$tier-$kind" 1 "the suite $tier runs ($kind)" "$MF_LOGS/test-$tier-$kind.log"
    fi
    [ $status -ne 124 ] || test_report "$tier-$kind-limit" 1 "the suite $tier ends within $MF_TIER_LIMIT_SEC s ($kind)"
}
