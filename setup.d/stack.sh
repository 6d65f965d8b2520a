# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A host made only of ours, booted in an emulator: its root, its tests (the tier "stack"), and a shell in it.  What
# it is made of but memfold is kept in the cache under the hash of the files that it is copied from.

MF_STACK_LIMIT_SEC=2400

# stack_payload: the archive of this build, which stands beside it.
stack_payload() {
    printf '%s/stack-payload.cpio' "$(build_dir gcc)"
}

# stack_ready: sets MF_STACK_BASE to the archive with all that is not built with memfold, and makes both.
stack_ready() {
    local key
    key=$("$MF_TOP/tests/stack/image.py" key) || die "what the host of the stack is made of is not all here" \
        "read the message above; apt-get install what it names"
    MF_STACK_BASE=$MF_CACHE/stack/$key/base.cpio
    if [ ! -e "$MF_STACK_BASE" ]; then
        mkdir -p "${MF_STACK_BASE%/*}"
        run_logged stack-base "read the log; a program or library that is not here is named there" \
            "stack: gathering libvirt, QEMU and what they need" "$MF_TOP/tests/stack/image.py" base "$MF_STACK_BASE"
        cache_prune "$MF_CACHE/stack"
    fi
    run_logged stack-payload "read the log" "stack: packing memfold" \
        "$MF_TOP/tests/stack/image.py" payload "$(stack_payload)" "$(build_dir gcc)" "$(guest_dir)"
}

# test_tier_stack TIER [OPTION]: the option is for run.py.
test_tier_stack() {
    local tier=$1
    shift
    stack_ready
    try_logged "test-$tier" "tests: $tier" timeout "$MF_STACK_LIMIT_SEC" "$MF_TOP/tests/stack/run.py" \
        --kernel "$(kernel_dir bench)" --stock "$(kernel_dir bench-stock)" --base "$MF_STACK_BASE" \
        --payload "$(stack_payload)" --tap "$MF_RESULTS/$tier.tap" "$@" || true
    [ -e "$MF_RESULTS/$tier.tap" ] ||
        test_report "$tier-run" 1 "the stack's tests run to their end" "$MF_LOGS/test-$tier.log"
}

# cmd_host: a shell in that host, with memfoldd and guests of two tenants; it ends with the shell.
cmd_host() {
    need_supported_distribution
    packages_install build qemu run kernel
    qemu_ready
    guest_ready
    kernel_ready bench
    build_memfold gcc
    stack_ready
    cache_unlock
    exec "$MF_TOP/tests/stack/host.py" --kernel "$(kernel_dir bench)" --base "$MF_STACK_BASE" --payload "$(stack_payload)"
}
