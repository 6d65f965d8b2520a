# SPDX-License-Identifier: GPL-2.0-or-later
#
# Reads mirrors (first file, one URI a line), then one file of apt sources, one-line (deb822=0) or
# deb822 (deb822=1), and prints deb822 entries for binary and source packages of release "to", for
# each entry that is of a known mirror and of release "from".  Options such as Signed-By are kept.

# same(uri): as apt prints it: without slashes at the end, and with one where the path of a list of mirrors begins.
function same(uri) {
    sub(/\/*$/, "", uri)
    sub(/^mirror\+file:\/*/, "mirror+file:/", uri)
    return uri
}

function mapped(suites,    n, i, part, out) {
    n = split(suites, part, /[ \t\n]+/)
    for (i = 1; i <= n; i++)
        if (part[i] == from || index(part[i], from "-") == 1)
            out = out " " to substr(part[i], length(from) + 1)
    return out
}

function known(uris,    n, i, part) {
    n = split(uris, part, /[ \t\n]+/)
    for (i = 1; i <= n; i++)
        if (same(part[i]) in mirror)
            return 1
    return 0
}

function emit(uris, suites, components, options) {
    if (known(uris) && mapped(suites) != "")
        printf "Types: deb deb-src\nURIs: %s\nSuites:%s\nComponents: %s\n%s\n",
            uris, mapped(suites), components, options
}

function flush_stanza() {
    if (field["Types"] ~ /(^|[ \t])deb([ \t]|$)/ && tolower(field["Enabled"]) !~ /^(no|false|0)/)
        emit(field["URIs"], field["Suites"], field["Components"],
             "Signed-By" in field ? "Signed-By: " field["Signed-By"] "\n" : "")
    delete field
    name = ""
}

function one_line(line,    options, n, part, i, rest) {
    if (match(line, /\[[^]]*\]/)) {
        options = substr(line, RSTART + 1, RLENGTH - 2)
        line = substr(line, 1, RSTART - 1) " " substr(line, RSTART + RLENGTH)
    }
    n = split(line, part, /[ \t]+/)
    for (i = 4; i <= n; i++)
        rest = rest (rest == "" ? "" : " ") part[i]
    if (match(options, /signed-by=[^ \t]+/))
        options = "Signed-By: " substr(options, RSTART + 10, RLENGTH - 10) "\n"
    else
        options = ""
    emit(part[2], part[3], rest, options)
}

NR == FNR { mirror[same($0)] = 1; next }
/^[ \t]*#/ { next }
!deb822 { sub(/[ \t]*#.*/, ""); if ($1 == "deb") one_line($0); next }
/^[ \t]*$/ { flush_stanza(); next }
/^[ \t]/ { if (name != "") field[name] = field[name] "\n" $0; next }
{
    name = substr($0, 1, index($0, ":") - 1)
    value = substr($0, index($0, ":") + 1)
    sub(/^[ \t]+/, "", value)
    field[name] = value
}
END { if (deb822) flush_stanza() }
