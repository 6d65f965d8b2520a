# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `./setup bench governor`: who sets ksmd's rate, compared on real guests; with --stack in hosts of our own, where
# memfold has our kernel. ksmtuned is taken out of its package and never installed, for installing it would start it.

# ksmtuned_ready: the package's files are in MF_KSMTUNED.
ksmtuned_ready() {
    MF_KSMTUNED=$MF_CACHE/ksmtuned/$MF_CODENAME
    package_aside ksmtuned "$MF_KSMTUNED" "check the network, or leave it out: --managers memfold,advisor,stock"
}

# bench_governor_hosted SIZE OUTPUT [OPTION...]
bench_governor_hosted() {
    local size=$1 output=$2
    shift 2
    packages_install build qemu run kernel
    qemu_ready
    guest_ready
    kernel_ready bench-stock bench
    build_memfold gcc
    ksmtuned_ready
    stack_ready
    cache_unlock
    say "measuring; $output gets results.json, plot.svg and table.txt"
    exec "$MF_TOP/tests/bench/governor/bench_hosted.py" --size "$size" --output "$output" \
        --kernel "$(kernel_dir bench)" --stock "$(kernel_dir bench-stock)" --base "$MF_STACK_BASE" \
        --payload "$(stack_payload)" --ksmtuned "$MF_KSMTUNED/tree" "$@"
}

# bench_governor [--stack] [--quick] [--output DIR] [OPTION...]: what is not known here is for bench.py, or for
# bench_hosted.py.
bench_governor() {
    local size=full output stack=false
    local -a options=() rivals=()
    output=$MF_CACHE/bench/governor-$(date +%Y%m%d-%H%M%S)
    while [ $# -gt 0 ]; do
        case $1 in
        --quick) size=quick ;;
        --stack) stack=true ;;
        --output)
            output=${2:?--output needs a folder}
            shift
            ;;
        *) options+=("$1") ;;
        esac
        shift
    done
    need_supported_distribution
    if $stack; then
        bench_governor_hosted "$size" "$output" "${options[@]}"
    fi
    need_root "it starts guests under qemu:///system and drives ksmd"
    packages_install build qemu run
    qemu_ready
    guest_ready
    build_memfold gcc
    apparmor_ready
    if [[ " ${options[*]} " != *" --managers "* || " ${options[*]} " == *ksmtuned* ]]; then
        ksmtuned_ready
        rivals=(--ksmtuned "$MF_KSMTUNED/tree")
    fi
    cache_unlock
    export_environment
    say "measuring; $output gets results.json, plot.svg and table.txt"
    exec "$MF_TOP/tests/bench/governor/bench.py" --size "$size" --output "$output" "${rivals[@]}" "${options[@]}"
}
