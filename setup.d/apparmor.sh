# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where AppArmor confines guests, Debian's profiles let neither libvirt start a QEMU outside /usr nor
# that QEMU read its own KSM figures.  The lines of qemu-patches/apparmor/ go into the profiles' local
# parts, between two marks, and come out by `setup clean`.

MF_APPARMOR_DIR=/etc/apparmor.d

apparmor_enabled() {
    [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] &&
        [ -d "$MF_APPARMOR_DIR" ] && command -v apparmor_parser >/dev/null
}

# apparmor_without FILE: FILE without our lines.
apparmor_without() {
    sed '/^# memfold: begin$/,/^# memfold: end$/d' "$1" 2>/dev/null || true
}

# apparmor_write TARGET CONTENT: replaces TARGET when CONTENT differs; true when it did.
apparmor_write() {
    local target=$1 content=$2
    [ "$content" != "$(cat "$target" 2>/dev/null)" ] || return 1
    mkdir -p "$(dirname "$target")"
    { [ -z "$content" ] || printf '%s\n' "$content"; } >"$target.memfold-new"
    mv "$target.memfold-new" "$target"
}

apparmor_reload() {
    local profile
    for profile in "$MF_APPARMOR_DIR"/usr.sbin.libvirtd "$MF_APPARMOR_DIR"/usr.sbin.virtqemud \
        "$MF_APPARMOR_DIR"/usr.lib.libvirt.virt-aa-helper "$MF_APPARMOR_DIR"/libvirt/libvirt-*[0-9a-f]; do
        [ ! -f "$profile" ] || apparmor_parser -r "$profile" || return
    done
}

apparmor_ready() {
    local changed=no snippet target
    apparmor_enabled || return 0
    for snippet in $(cd "$MF_TOP/qemu-patches/apparmor" && find . -type f -not -name README.md); do
        target=$MF_APPARMOR_DIR/local/${snippet#./}
        if apparmor_write "$target" "$(apparmor_without "$target"
            printf '# memfold: begin\n'
            cat "$MF_TOP/qemu-patches/apparmor/$snippet"
            printf '# memfold: end')"; then
            changed=yes
        fi
    done
    [ $changed = yes ] || return 0
    run_logged apparmor "compare $MF_APPARMOR_DIR/local with qemu-patches/apparmor" \
        "AppArmor: loading the profiles with memfold's lines" apparmor_reload
}

apparmor_clean() {
    local changed=no file
    [ -d "$MF_APPARMOR_DIR/local" ] || return 0
    while IFS= read -r file; do
        if apparmor_write "$file" "$(apparmor_without "$file")"; then
            changed=yes
        fi
    done < <(grep -rl '^# memfold: begin$' "$MF_APPARMOR_DIR/local" 2>/dev/null)
    if [ $changed = yes ] && apparmor_enabled; then
        run_logged apparmor "reload the profiles by hand: systemctl reload apparmor" \
            "AppArmor: loading the profiles without memfold's lines" apparmor_reload
    fi
}
