# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The benchmarks. `./setup bench governor` compares memfold with others who set ksmd's rate (governor.sh);
# `./setup bench kernel` measures what ksmd spends, on a stock kernel and on ours, and prints the table of targets. It takes the kernels of the tier kernel-speed, and the same two as programs of the host
# (UML), which are kept in the cache under the hash of what they are made of. `--locks` is another measure, with
# two more kernels: for how long ksmd keeps others from running.

# uml_key VARIANT: the hash of everything that decides what that build is.
uml_key() {
    local -a files=("$MF_TOP"/tests/bench/kernel/uml/{build.sh,uml.config,*.patch})
    { kernel_key "$([ "$1" = stock ] && echo bench-stock || echo bench)" && hash_files "${files[@]}"; } | short_hash
}

uml_dir() {
    printf '%s/uml/%s/%s-%s' "$MF_CACHE" "$1" "$MF_CODENAME" "$(uml_key "$1")"
}

# uml_ready: both; one source and one build folder for the two, as for the other kernels.
uml_ready() {
    local work=$MF_CACHE/uml-build
    if [ -e "$(uml_dir stock)/complete" ] && [ -e "$(uml_dir patched)/complete" ]; then
        return 0
    fi
    source_fetch kernel Linux
    rm -rf "$work"
    source_unpack Linux "$work/src"
    uml_build_one stock "$work"
    run_logged uml-series "read the log; a patch that does not apply is named there" \
        "Linux: applying the series" kernel_apply_series "$work/src"
    uml_build_one patched "$work"
    remove_later "$work"
}

# uml_build_one VARIANT WORK
uml_build_one() {
    local variant=$1 work=$2 kept
    kept=$(uml_dir "$variant")
    run_logged "uml-$variant" "read the log" "Linux: building (UML, $variant, some minutes)" env JOBS="$MF_JOBS" \
        "$MF_TOP/tests/bench/kernel/uml/build.sh" "$work/src" "$work/build" "$work/$variant"
    touch "$work/$variant/complete"
    rm -rf "$kept"
    mkdir -p "${kept%/*}"
    mv -T "$work/$variant" "$kept"
    cache_prune "${kept%/*}"
}

# bench_locks OUTPUT [OPTION...]
bench_locks() {
    local output=$1
    shift
    packages_install kernel
    kernel_ready locks-stock locks
    cache_unlock
    say "measuring; $output gets locks.json and locks.txt"
    exec "$MF_TOP/tests/bench/kernel/locks.py" --output "$output" --stock "$(kernel_dir locks-stock)" \
        --patched "$(kernel_dir locks)" "$@"
}

cmd_bench() {
    local name=${1:-}
    [ $# -eq 0 ] || shift
    case $name in
    kernel | governor) "bench_$name" "$@" ;;
    *) die "there is no benchmark \"$name\"" "./setup bench kernel, or ./setup bench governor" ;;
    esac
}

# bench_kernel [--full] [--locks] [--output DIR] [OPTION...]: what is not known here is for bench.py, or for
# locks.py.
bench_kernel() {
    local size=quick locks=false output
    local -a options=()
    output=$MF_CACHE/bench/$(date +%Y%m%d-%H%M%S)
    while [ $# -gt 0 ]; do
        case $1 in
        --full) size=full ;;
        --locks) locks=true ;;
        --output)
            output=${2:?--output needs a folder}
            shift
            ;;
        *) options+=("$1") ;;
        esac
        shift
    done
    if $locks && [ $size = full ]; then
        die "--full is not for --locks, which has one size" "./setup bench kernel --locks"
    fi
    need_supported_distribution
    if $locks; then
        bench_locks "$output" "${options[@]}"
    fi
    need_root "the machines that are programs of this host get memory of huge pages, on a mount of their own"
    packages_install kernel bench
    kernel_ready bench-stock bench
    uml_ready
    cache_unlock
    say "measuring; $output gets results.json, plot.svg and table.txt"
    exec "$MF_TOP/tests/bench/kernel/bench.py" --size "$size" --output "$output" --programs "$(kernel_dir bench)" \
        --tcg-stock "$(kernel_dir bench-stock)" --tcg-patched "$(kernel_dir bench)" \
        --uml-stock "$(uml_dir stock)" --uml-patched "$(uml_dir patched)" "${options[@]}"
}

test_bench_arithmetic() {
    try_logged test-bench-arithmetic "tests: kernel-speed (arithmetic)" "$MF_TOP/tests/bench/kernel/test_bench.py" || true
    cp "$MF_LOGS/test-bench-arithmetic.log" "$MF_RESULTS/kernel-speed-arithmetic.tap"
}
