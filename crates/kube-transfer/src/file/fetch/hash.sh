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
# openssl first: it uses the CPU's SHA instructions, which most builds of sha256sum do not.
if openssl version >/dev/null 2>&1; then
    sum='openssl dgst -sha256 -r'
elif command -v sha256sum >/dev/null; then
    sum=sha256sum
else
    exit 127
fi
if [ "$2" = whole ]; then
    exec $sum <"$1"
else
    while read -r skip count; do
        dd if="$1" bs="$3" skip="$skip" count="$count" 2>/dev/null | $sum
    done
fi
