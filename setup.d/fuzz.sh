# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Hunting with the fuzz targets.  What a hunt finds that is new stays in the cache, and the next one
# begins there; what is worth having goes into tests/fuzz/corpus by hand.

cmd_fuzz() {
    need_supported_distribution
    packages_install build test run
    build_memfold fuzz
    cache_unlock
    say "hunting; inputs and crashes are kept in $MF_CACHE/fuzz"
    exec "$MF_TOP/tests/fuzz/hunt.py" --build "$(build_dir fuzz)" --keep "$MF_CACHE/fuzz" --jobs "$MF_JOBS" "$@"
}
