# Lists a directory, entry by entry as "<mode> <bytes> <modified> <inode> ./<name>/".
#
#   sh -c SCRIPT sh DIRECTORY
#
# A name may hold anything but a slash and NUL: it ends with the slash, not with the line. Names come from the shell's
# own patterns, as small images have neither find nor an ls whose output is fit for programs; stat gets them a hundred
# at a time, below every limit on the length of arguments.
export LC_ALL=C
command -v stat >/dev/null || exit 127
stat -c %f -- "$1/." >/dev/null || exit 1
cd -- "$1" || exit 1
[ -r . ] || {
    echo 'Permission denied' >&2
    exit 1
}
describe() {
    stat -c '%f %s %Y %i %n/' -- "$@"
}
# Some may have vanished since their names were read; that an entry is there and cannot be described is an error.
describe_each() {
    for entry; do
        describe "$entry" 2>/dev/null && continue
        if [ -e "$entry" ] || [ -L "$entry" ]; then describe "$entry" || exit 1; fi
    done
}
describe_all() {
    if all=$(describe "$@" 2>/dev/null); then printf '%s\n' "$all"; else describe_each "$@"; fi
}
set --
for entry in ./* ./.[!.]* ./..?*; do
    [ ! "$gone" ] || exit
    [ -e "$entry" ] || [ -L "$entry" ] || continue
    set -- "$@" "$entry"
    [ $# -lt 100 ] || {
        describe_all "$@"
        set --
    }
done
[ $# -eq 0 ] || describe_all "$@"
