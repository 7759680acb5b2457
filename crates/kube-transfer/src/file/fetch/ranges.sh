# Sends ranges of a file as they are asked for.
#
#   sh -c SCRIPT sh FILE BLOCK_BYTES
#
# Standard input, by lines: a nonce; "<skip> <count>" in blocks for each range; empty lines as signs of life; at last the
# nonce again. Standard output: the bytes of each range, and after each "<nonce> <exit code of three digits>", from which
# the client knows that the range is whole. Standard error: why reading failed.
#
# When the client is gone, dd is told to end: it may be stuck in a pipe that nobody reads any more.
file=$1 block=$2
send() {
    trap : HUP TERM
    message= code=127
    if command -v dd >/dev/null; then
        code=254
        if [ -f "$file" ] && [ ! -L "$file" ]; then
            message=$(run dd dd if="$file" bs="$block" skip="$1" count="$2" 9>&1 >&3 3>&-)
            code=$?
        fi
    fi
    # What follows may be stuck as well, and has no children.
    trap - HUP TERM
    echo "read end" >&6
    [ $code -eq 0 ] || printf '%s\n' "$message" >&9
    printf '%s %03d\n' "$nonce" $code >&3
    echo "send end" >&6
}
main() {
    wanted= sender= dd= childless= over=
    begin
    hear
    ready
    until [ "$over" ]; do
        next
        case $who$what in
            "said$nonce") over=1 ;;
            said?*) wanted="$wanted $what $value" ;;
            ddpid) dd=$value ;;
            ddend) dd= ;;
            readend) childless=1 ;;
            sendend)
                wait $sender
                sender=
                ;;
        esac
        if [ "$halted" ]; then
            [ ! "$dd" ] || kill $dd
            if [ ! "$sender" ] || [ "$childless" ]; then over=1; fi
        elif [ "$wanted" ] && [ ! "$sender" ]; then
            set -- $wanted
            childless=
            send "$1" "$2" &
            sender=$!
            shift 2
            wanted=$*
        fi
    done
    [ ! "$halted" ] || finish $sender
    finish
}
supervise
