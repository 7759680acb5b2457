# Takes a file from standard input and puts it in place when the client says that it is right.
#
#   sh -c SCRIPT sh PATH BYTES WORD replace|keep
#
# Standard input: a nonce, a line; BYTES bytes; empty lines as signs of life; the nonce again, once the client has compared
# the SHA-256. Standard output, by lines: "<nonce> <what happened>...", after whatever programs had to say. When the client
# is gone, the temporary file is removed as after any other failure.
exec 9>&1
path=$1 bytes=$2 temporary=$1.partial-$3 existing=$4
directory=${path%/*}/
umask 077
child= size= confirmed=
# While data is due, only its coming is a sign of life.
progress() {
    [ ! "$listener" ] || return
    before=$size
    size=$(wc -c <"$temporary")
    [ "$size" = "$before" ] || quiet=0
}
# Waits for the end of a program: its exit code, or the SHA-256, is in `result`.
await() {
    result=
    until [ "$result" ]; do
        next
        case $who$what in
            "$1pid" | sumpid) child=$value ;;
            "$1end") result=${value:-none} ;;
            "said$nonce") confirmed=1 ;;
        esac
        if [ "$halted" ] && [ "$child" ]; then kill $child; fi
    done
    child=
}
flush() {
    run sync sync -- "$1" 9>/dev/null &
    await sync
    [ $result -ne 0 ] || return 0
    run sync sync &
    await sync
    return $result
}
give_up() {
    rm -f -- "$temporary"
    finish
    exit
}
# Stays until the client has the answer and goes: a node may drop what was not read of a process that has exited, and a
# client that still sends might not hear of it.
leave() {
    rm -f -- "$temporary"
    printf '%s %s\n' "$nonce" "$*" >&3
    if [ "$listener" ]; then
        until [ "$halted" ]; do next; done
    else
        run rest cat <&7 >/dev/null &
        await rest
    fi
    give_up
}
exists() {
    [ -e "$path" ] || [ -L "$path" ]
}
main() {
    begin
    ready
    for tool in head wc mv rm cat sleep; do
        command -v $tool >/dev/null || leave missing $tool
    done
    find_sum || leave missing sha256sum
    if [ -d "$path" ]; then leave exists; fi
    if [ "$existing" = keep ] && exists; then leave exists; fi
    (set -C && : >"$temporary") 2>&9 || leave failed create
    run head head -c "$bytes" <&7 >"$temporary" &
    await head
    [ ! "$halted" ] || give_up
    [ $result -eq 0 ] || leave failed write
    # Fewer: the client is gone.
    [ "$(wc -c <"$temporary")" -eq "$bytes" ] || give_up
    hear
    flush "$temporary" || leave failed sync
    digest <"$temporary" &
    await digest
    [ $result != none ] || leave failed read
    printf '%s written %s\n' "$nonce" "$result" >&3
    until [ "$confirmed" ]; do
        [ ! "$halted" ] || give_up
        next
        [ "$who$what" != "said$nonce" ] || confirmed=1
    done
    # A link is refused when the name has been taken meanwhile, which a move is not; not every file system has links.
    if [ "$existing" = replace ]; then
        mv -f -- "$temporary" "$path" 2>&9 || leave failed rename
    elif ! ln -- "$temporary" "$path"; then
        if exists; then leave exists; fi
        mv -- "$temporary" "$path" 2>&9 || leave failed rename
    fi
    flush "$directory"
    leave done
}
supervise
