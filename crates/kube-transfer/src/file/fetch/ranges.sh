# Sends ranges of a file as they are asked for.
#
#   sh -c SCRIPT sh FILE BLOCK_BYTES
#
# Standard input, by lines: a nonce; "<skip> <count>" in blocks for each range; an empty line at the end.
# Standard output: the bytes of each range, and after each "<nonce> <exit code of three digits>", from which the client
# knows that the range is whole. Standard error: why reading failed.
#
# What is left when the client dies is killed: dd may be stuck in a pipe that nobody reads.
IFS= read -r nonce || exit
file=$1 block=$2
send() {
    command -v dd >/dev/null || return 127
    [ -f "$file" ] && [ ! -L "$file" ] || return 254
    message=$(exec dd if="$file" bs="$block" skip="$1" count="$2" 2>&1 >&3 3>&-)
    set -- $?
    [ "$1" -eq 0 ] || printf '%s\n' "$message" >&2
    return "$1"
}
serve() {
    while read -r skip count; do
        send "$skip" "$count"
        printf '%s %03d\n' "$nonce" $?
    done 3>&1
}
forward() {
    while IFS= read -r line; do
        [ -n "$line" ] || return
        printf '%s\n' "$line"
    done
    kill -s TERM -- -$$ || kill -s TERM $$
}
forward | serve
