# Prints the SHA-256 of a file, or of its ranges, a line each.
#
#   sh -c SCRIPT sh FILE whole|ranges BLOCK_BYTES
#
# Standard input for ranges: "<skip> <count>" in blocks.
if [ -L "$1" ] || { [ -e "$1" ] && [ ! -f "$1" ]; }; then exit 254; fi
[ -e "$1" ] || {
    echo 'No such file or directory' >&2
    exit 1
}
find_sum || exit 127
if [ "$2" = whole ]; then
    exec $sum <"$1"
else
    while read -r skip count; do
        [ ! "$gone" ] || exit
        dd if="$1" bs="$3" skip="$skip" count="$count" 2>/dev/null | $sum
    done
fi
