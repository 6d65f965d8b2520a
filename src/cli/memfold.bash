# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for memfold(1)

_memfold_domains() {
    virsh --quiet --readonly --connect qemu:///system list --name 2>/dev/null
}

# _memfold_set ATTRIBUTE: the words that may follow "memfold set ...".
_memfold_set() {
    case $1 in
    merge) echo 'on off freeze auto zero' ;;
    boost) echo 'on off' ;;
    group) echo 'shared isolated' ;;
    priority) ;;
    *)
        if [ "$COMP_CWORD" -eq 2 ]; then
            echo --help
        else
            echo 'merge= group= priority= boost='
        fi ;;
    esac
}

_memfold() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local attribute='' words='' domains=false name compgen_as=()

    # "=" is a word of its own here: ATTR = VALUE.
    if [ "$current" = = ]; then
        attribute=$previous
        current=
    elif [ "$previous" = = ]; then
        attribute=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $COMP_CWORD:${COMP_WORDS[1]}:$previous in
    1:*) words='status why plan top estimate audit report set doctor config reload help --help --version' ;;
    *:status:* | *:why:*) words='--json --help' domains=true ;;
    *:plan:*) words='--json --help' ;;
    *:estimate:--rate) ;;
    *:estimate:*) words='--json --rate --help' domains=true ;;
    *:audit:*) words='--json --help' domains=true ;;
    *:report:--period) words='1h 24h 7d' ;;
    *:report:--html) compgen_as=(-f) ;;
    *:report:*) words='--period --json --html --help' domains=true ;;
    *:top:--sort) words='name saved merged change' ;;
    *:top:--interval | *:top:--count) ;;
    *:top:*) words='--interval --sort --batch --count --help' ;;
    *:doctor:--root) compgen_as=(-d) ;;
    *:doctor:*) words='--json --root --help' ;;
    *:set:*)
        words=$(_memfold_set "$attribute")
        [ "$COMP_CWORD" -ne 2 ] || domains=true
        ;;
    *:config:config) words='check --help' ;;
    *:config:*) compgen_as=(-f) ;;
    *:reload:*) words='--help' ;;
    *:help:*) words='status why plan top estimate audit report set doctor config reload' ;;
    esac
    mapfile -t COMPREPLY < <(compgen "${compgen_as[@]}" -W "$words" -- "$current")
    # Who made a domain chose its name: compgen would carry out what stands in it, and so would the command line.
    while $domains && IFS= read -r name; do
        if [ -n "$name" ] && [[ $name == "$current"* ]]; then
            COMPREPLY+=("$(printf %q "$name")")
        fi
    done < <(_memfold_domains)
    if [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -F _memfold memfold
