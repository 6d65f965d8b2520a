# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Our kernels, for the tests that boot them: the base as it is (stock), with the series of kernel/
# (patched), and that with KASAN (kasan); and the first two again as hosts have them, without the checks,
# to count instructions (bench-stock, bench), and with tracing (locks-stock, locks). Each is kept in the cache
# under the hash of what it is made of.

MF_KERNEL_LIMIT_SEC=2400
MF_KERNEL_LONG_LIMIT_SEC=7200

# kernel_fragments VARIANT: what it is configured with, over config/base.config.
kernel_fragments() {
    case $1 in
    bench*) echo bench ;;
    locks*) echo "bench trace" ;;
    kasan) echo "test devices kasan" ;;
    stock) echo test ;;
    *) echo "test devices" ;;
    esac
}

# kernel_series: the names of the patches, in their order.
kernel_series() {
    sed 's/[[:space:]]*#.*//; /^$/d' "$MF_TOP/kernel/series"
}

# kernel_apply_series SRCDIR
kernel_apply_series() {
    local patch
    while read -r patch; do
        printf '%s\n' "$patch"
        patch --batch --silent --fuzz=0 --strip=1 --directory="$1" <"$MF_TOP/kernel/$patch" || return 1
    done < <(kernel_series)
}

# kernel_key VARIANT: the hash of everything that decides what that build is. What the message of a patch
# says makes no other kernel.
kernel_key() {
    local fragment patch
    local -a files=(BASE build.sh config/base.config)
    for fragment in $(kernel_fragments "$1"); do
        files+=("config/$fragment.config")
    done
    printf '%s-' "$MF_CODENAME"
    if [[ $1 == *stock ]]; then
        hash_files "${files[@]/#/$MF_TOP/kernel/}"
        return
    fi
    {
        hash_files "${files[@]/#/$MF_TOP/kernel/}"
        while read -r patch; do
            sed -n '/^diff --git /,$p' "$MF_TOP/kernel/$patch"
        done < <(kernel_series)
    } | short_hash
}

kernel_dir() {
    printf '%s/kernel/%s/%s' "$MF_CACHE" "$1" "$(kernel_key "$1")"
}

# kernel_ready VARIANT...: those without the series first; and what is their root when they are booted.
kernel_ready() {
    local variant
    local -a needed=()
    busybox_ready
    for variant in "$@"; do
        [ -e "$(kernel_dir "$variant")/complete" ] || needed+=("$variant")
    done
    [ ${#needed[@]} -eq 0 ] || kernel_build "${needed[@]}"
}

# kernel_build VARIANT...: one source for all; the stock kernel is built before the series is applied, and
# the patched one where the stock one was, so that only what the series touches is compiled again.
kernel_build() {
    local work=$MF_CACHE/kernel-build variant
    [ "$(free_mib "$MF_CACHE")" -ge 5000 ] || die "less than 5000 MiB free in $MF_CACHE" \
        "free some space, or set MEMFOLD_CACHE to a folder on a larger disk"
    source_fetch kernel Linux
    rm -rf "$work"
    source_unpack Linux "$work/src"
    for variant in "$@"; do
        kernel_build_one "$variant" "$work"
    done
    remove_later "$work"
}

# kernel_build_one VARIANT WORK
kernel_build_one() {
    local variant=$1 work=$2 kept fragments fragment folder
    local -a options=()
    kept=$(kernel_dir "$variant")
    fragments=$(kernel_fragments "$variant")
    folder=build-${fragments/ devices/}
    folder=${folder// /-}
    for fragment in $fragments; do
        options+=(--config "$fragment")
    done
    if [[ $variant == *stock && -e $work/applied ]]; then
        die "the kernel \"$variant\" would be built with the series" "that is a mistake in setup: it has to come first"
    fi
    if [[ $variant == *stock ]] || [ -e "$work/applied" ]; then
        options+=(--patched)
    else
        touch "$work/applied"
    fi
    run_logged "kernel-$variant" "read the log; a patch that does not apply is named there" \
        "Linux: building ($variant, several minutes)" env JOBS="$MF_JOBS" "$MF_TOP/kernel/build.sh" \
        "${options[@]}" "$work/src" "$work/$folder" "$work/$variant"
    touch "$work/$variant/complete"
    rm -rf "$kept"
    mkdir -p "${kept%/*}"
    mv -T "$work/$variant" "$kept"
    cache_prune "${kept%/*}"
}

# kernels_of TIER: the kernels that it needs, in the order of kernel_ready.
kernels_of() {
    case $1 in
    kernel) echo stock patched ;;
    kernel-cost | kernel-speed | stack*) echo bench-stock bench ;;
    storm) echo bench ;;
    *) echo kasan ;;
    esac
}

# test_tier_kernel TIER: "kernel" judges the harness, and boots the kernels without and with the series;
# "kernel-cost" compares what they cost, "kernel-speed" what their ksmd does; "kernel-kasan" boots the one
# with KASAN, "kernel-long" for everything there is.
test_tier_kernel() {
    case $1 in
    kernel-long) test_kernel long kasan "$MF_KERNEL_LONG_LIMIT_SEC" --kasan ;;
    kernel-kasan) test_kernel kasan kasan "$MF_KERNEL_LIMIT_SEC" --kasan ;;
    kernel)
        test_kernel_harness
        test_kernel stock stock "$MF_KERNEL_LIMIT_SEC"
        test_kernel patched patched "$MF_KERNEL_LIMIT_SEC"
        ;;
    kernel-cost) test_kernel_instructions kernel-cost tests/kernel/cost.py "the kernels' costs are measured" ;;
    kernel-speed)
        test_bench_arithmetic
        test_kernel_instructions kernel-speed tests/bench/kernel/gate.py "what ksmd spends is measured"
        ;;
    esac
}

test_kernel_harness() {
    try_logged test-kernel-harness "tests: kernel (the harness)" timeout "$MF_KERNEL_LIMIT_SEC" \
        env MEMFOLD_KERNEL="$(kernel_dir stock)" "$MF_TOP/tests/kernel/test_harness.py" || true
    cp "$MF_LOGS/test-kernel-harness.log" "$MF_RESULTS/kernel-harness.tap"
}

# test_kernel_instructions TIER SCRIPT TEXT: a script that counts instructions of the two bench kernels.
test_kernel_instructions() {
    local tier=$1 status=0
    try_logged "test-$tier" "tests: $tier" timeout "$MF_KERNEL_LIMIT_SEC" \
        "$MF_TOP/$2" --stock "$(kernel_dir bench-stock)" --patched "$(kernel_dir bench)" \
        --tap "$MF_RESULTS/$tier.tap" || status=$?
    if [ $status -gt 1 ] || [ ! -e "$MF_RESULTS/$tier.tap" ]; then
        test_report "$tier-run" 1 "$3" "$MF_LOGS/test-$tier.log"
    fi
}

# test_kernel TIER VARIANT LIMIT [OPTION...]: that tier of tests/kernel on that kernel.
test_kernel() {
    local tier=$1 variant=$2 limit=$3 status=0
    shift 3
    try_logged "test-kernel-$tier" "tests: kernel ($tier)" timeout "$limit" \
        "$MF_TOP/tests/kernel/run.py" --tier "$tier" --kernel "$(kernel_dir "$variant")" --slow 3 "$@" \
        --programs "$(kernel_dir "$([ "$variant" = stock ] && echo patched || echo "$variant")")" \
        --tap "$MF_RESULTS/kernel-$tier.tap" || status=$?
    [ $status -le 1 ] || test_report "kernel-$tier-run" 1 "the kernel's tests run to their end ($tier)" \
        "$MF_LOGS/test-kernel-$tier.log"
}
