# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where AppArmor confines guests, Debian's profiles let neither libvirt start a QEMU outside /usr nor
# that QEMU read its own KSM figures.  The lines of qemu-patches/apparmor/ go into the profiles' local
# parts, between two marks, and come out by `setup clean`.

MF_APPARMOR_DIR=/etc/apparmor.d
# It is there from before a file changes until the profiles were loaded with that, also when setup ends in between.
MF_APPARMOR_MARK=local/.memfold-load

apparmor_enabled() {
    [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] &&
        [ -d "$MF_APPARMOR_DIR" ] && command -v apparmor_parser >/dev/null
}

# apparmor_without FILE: FILE without our lines.
apparmor_without() {
    sed '/^# memfold: begin$/,/^# memfold: end$/d' "$1" 2>/dev/null || true
}

# apparmor_write TARGET CONTENT: replaces TARGET when CONTENT differs.
apparmor_write() {
    local target=$1 content=$2
    [ "$content" != "$(cat "$target" 2>/dev/null)" ] || return 0
    mkdir -p "$(dirname "$target")"
    : >>"$MF_APPARMOR_DIR/$MF_APPARMOR_MARK"
    { [ -z "$content" ] || printf '%s\n' "$content"; } >"$target.memfold-new"
    mv "$target.memfold-new" "$target"
}

# apparmor_reload: a domain's profile may be damaged, or of no use any more; that is told, and no reason to stop.
apparmor_reload() {
    local profile
    for profile in "$MF_APPARMOR_DIR"/usr.sbin.libvirtd "$MF_APPARMOR_DIR"/usr.sbin.virtqemud \
        "$MF_APPARMOR_DIR"/usr.lib.libvirt.virt-aa-helper; do
        [ ! -f "$profile" ] || apparmor_parser -r "$profile" || return
    done
    for profile in "$MF_APPARMOR_DIR"/libvirt/libvirt-*[0-9a-f]; do
        [ ! -f "$profile" ] || apparmor_parser -r "$profile" || echo "warning: $profile was not loaded"
    done
    rm -f "$MF_APPARMOR_DIR/$MF_APPARMOR_MARK"
}

# apparmor_load REMEDY TITLE: when something has changed since they were loaded.
apparmor_load() {
    local warning
    [ -e "$MF_APPARMOR_DIR/$MF_APPARMOR_MARK" ] || return 0
    run_logged apparmor "$1" "$2" apparmor_reload
    while IFS= read -r warning; do
        say "$warning"
    done < <(grep '^warning: ' "$MF_LOGS/apparmor.log")
}

apparmor_ready() {
    local snippet target
    apparmor_enabled || return 0
    for snippet in $(cd "$MF_TOP/qemu-patches/apparmor" && find . -type f -not -name README.md); do
        target=$MF_APPARMOR_DIR/local/${snippet#./}
        apparmor_write "$target" "$(apparmor_without "$target"
            printf '# memfold: begin\n'
            cat "$MF_TOP/qemu-patches/apparmor/$snippet"
            printf '# memfold: end')"
    done
    apparmor_load "compare $MF_APPARMOR_DIR/local with qemu-patches/apparmor" \
        "AppArmor: loading the profiles with memfold's lines"
}

apparmor_clean() {
    local file
    [ -d "$MF_APPARMOR_DIR/local" ] || return 0
    while IFS= read -r file; do
        apparmor_write "$file" "$(apparmor_without "$file")"
    done < <(grep -rl '^# memfold: begin$' "$MF_APPARMOR_DIR/local" 2>/dev/null)
    if apparmor_enabled; then
        apparmor_load "reload the profiles by hand: systemctl reload apparmor" \
            "AppArmor: loading the profiles without memfold's lines"
    fi
    rm -f "$MF_APPARMOR_DIR/$MF_APPARMOR_MARK"
}
