#!/bin/sh
# Installs the plugins for Watson Assistant below a directory, or removes them from there.
#
#   ./install.sh [--prefix DIR] [--uninstall]
#
# kubectl and oc find a plugin by its file's name on PATH: `kubectl wa-backup` runs kubectl-wa_backup, and asks
# kubectl_complete-wa_backup what can follow. Each of these names is a relative link to the one binary, so that the
# directory can be moved, or built into an image.
set -eu

usage() {
    sed -n 's/^# \{0,1\}//; 2,4p' "$0"
}
fail() {
    echo "install.sh: $*" >&2
    exit 1
}

prefix=${HOME:+$HOME/.local} uninstall=
while [ $# -gt 0 ]; do
    case $1 in
        --prefix)
            [ $# -ge 2 ] || fail "--prefix needs a directory"
            prefix=$2
            shift
            ;;
        --prefix=*) prefix=${1#*=} ;;
        --uninstall) uninstall=1 ;;
        -h | --help)
            usage
            exit
            ;;
        *) fail "unknown argument $1; see --help" ;;
    esac
    shift
done
[ "$prefix" ] || fail "--prefix needs a directory"
case $prefix in
    /*) ;;
    # The directory's own name, so that it is found in PATH.
    *) prefix=$PWD/${prefix#./} ;;
esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=$prefix/bin
share=$prefix/share

# The other names of a plugin: for `kubectl wa-backup` and for `kubectl wa backup`.
links() {
    name=$(echo "${1#kubectl-}" | tr - _)
    echo "kubectl-$name"
    for spelling in "$name" "${1#kubectl-}"; do
        echo "kubectl_complete-$spelling oc_complete-$spelling"
    done
}
# Whether the file $1 is a link to the plugin $2, made here or by `completion install`.
leads_to() {
    [ -L "$1" ] || return 1
    case $(readlink "$1") in
        "$2" | "kubectl-$(echo "${2#kubectl-}" | tr - _)") ;;
        *) return 1 ;;
    esac
}
# Fails where the plugin would take the place of what somebody else has put there.
look() {
    [ ! -L "$bin/$1" ] && { [ ! -e "$bin/$1" ] || [ -f "$bin/$1" ]; } ||
        fail "$bin/$1 is there already, and no plain file: move it away, and try again; nothing was installed"
    for link in $(links "$1"); do
        [ ! -e "$bin/$link" ] && [ ! -L "$bin/$link" ] || leads_to "$bin/$link" "$1" ||
            fail "$bin/$link is there already, and does not lead to $1 beside it: move it away, and try again; nothing was installed"
    done
}
# Where a file that is not a plugin goes to.
each_file() {
    for file in "$here"/man/*.1; do
        [ ! -e "$file" ] || "$1" "$file" "$share/man/man1/${file##*/}"
    done
}
put() {
    mkdir -p "$(dirname "$2")"
    # In one step, as a plugin may be running.
    cp "$1" "$2.new"
    chmod "${3:-644}" "$2.new"
    mv -f "$2.new" "$2"
}
remove() {
    rm -f "$2"
}

if [ ! "$uninstall" ]; then
    mkdir -p "$bin" && [ -w "$bin" ] ||
        fail "cannot write to $bin: name another directory with --prefix, or run this as a user who may; nothing was installed"
    for binary in "$here"/bin/kubectl-wa-*; do
        look "${binary##*/}"
    done
fi
for binary in "$here"/bin/kubectl-wa-*; do
    plugin=${binary##*/}
    if [ "$uninstall" ]; then
        for link in $(links "$plugin"); do
            # What somebody else has put there stays.
            ! leads_to "$bin/$link" "$plugin" || rm -f "$bin/$link"
        done
        [ -L "$bin/$plugin" ] || rm -f "$bin/$plugin"
    else
        put "$binary" "$bin/$plugin" 755
        for link in $(links "$plugin"); do
            ln -sfn "$plugin" "$bin/$link"
        done
    fi
done
if [ "$uninstall" ]; then
    each_file remove
    echo "removed from $prefix"
    exit
fi
each_file put
echo "installed into $bin"
case :$PATH: in
    *":$bin:"*) ;;
    *) echo "$bin is not on PATH: add it, and try kubectl wa-backup --help" ;;
esac
