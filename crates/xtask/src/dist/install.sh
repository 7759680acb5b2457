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

prefix=$HOME/.local uninstall=
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

here=$(cd "$(dirname "$0")" && pwd)
bin=$prefix/bin
share=$prefix/share

# The other names of a plugin.
links() {
    name=$(echo "${1#kubectl-}" | tr - _)
    echo "kubectl-$name kubectl_complete-$name oc_complete-$name"
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

for binary in "$here"/bin/kubectl-wa-*; do
    plugin=${binary##*/}
    if [ "$uninstall" ]; then
        for link in $(links "$plugin"); do
            # What somebody else has put there stays.
            [ "$(readlink "$bin/$link" || :)" != "$plugin" ] || rm -f "$bin/$link"
        done
        rm -f "$bin/$plugin"
    else
        put "$binary" "$bin/$plugin" 755
        for link in $(links "$plugin"); do
            [ ! -e "$bin/$link" ] || [ -L "$bin/$link" ] || fail "$bin/$link is there already, and no link: remove it first"
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
