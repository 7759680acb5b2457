# Takes a file from standard input, over as many connections as it takes, and puts it in place when the client says that
# it is right.
#
#   sh -c SCRIPT kube-transfer-upload PATH BYTES ID keep|replace|piece BLOCK_BYTES
#
# A file of that name is kept or replaced; a piece replaces one too, and is not synced, since it soon becomes part of another.
#
# Standard output, by lines: "<nonce> <what happened>...", after whatever programs had to say. It begins with "have <bytes>",
# followed by "placed" when the file itself is there as it should be, as far as can be seen without reading it.
#
# Standard input, by lines: a nonce; then what the client wants; empty lines as signs of life:
#   hash SKIP COUNT   "hash <SHA-256>" of so many blocks of what is here
#   placed            "hash <SHA-256>" of the file in its place
#   accept            the file in its place is the right one: "done"
#   take KEPT         the first KEPT bytes of what is here are right. What follows are the other bytes, and no lines
# Then "written <SHA-256>" of the whole; empty lines as signs of life; the nonce, when that is right: "done".
#
# When the client is gone, what has arrived stays: see above.
exec 9>&1
path=$1 bytes=$2 upload=$3 existing=$4 block=$5 partial=$1.partial
directory=${path%/*}/
umask 077
child= size= confirmed= working= taking= kept= me=
say() {
    printf '%s %s\n' "$nonce" "$*" >&3
}
size() {
    stat -c %s -- "$partial/data"
}
# Another connection of the same upload asks to be let in, since its client has given this one up. While data is due, only
# its coming is a sign of life; while a hash is due, the client waits.
progress() {
    [ ! -e "$partial/fence.$me" ] || halt
    [ ! "$working" ] || quiet=0
    [ "$taking" ] || return 0
    before=$size
    size=$(size)
    [ "$size" = "$before" ] || quiet=0
    say at "$size"
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
await_digest() {
    working=1
    await digest
    working=
    [ ! "$halted" ] || give_up
    [ $result != none ] || leave failed read
}
flush() {
    [ "$existing" != piece ] || return 0
    run sync sync -- "$1" 9>/dev/null &
    await sync
    [ $result -ne 0 ] || return 0
    run sync sync &
    await sync
    return $result
}
# What has arrived stays, but nothing else.
give_up() {
    [ ! "$me" ] || [ -s "$partial/data" ] || rm -rf "$partial"
    finish
    exit
}
# Stays until the client has the answer and goes: a node may drop what was not read of a process that has exited, and a
# client that still sends might not hear of it.
leave() {
    say "$@"
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
absent() {
    [ ! -e "$partial" ] && [ ! -L "$partial" ]
}
# Whether the file is in its place, and whether that is an obstacle.
examine() {
    if [ -d "$path" ]; then leave exists; fi
    placed=
    if [ -f "$path" ] && [ ! -L "$path" ] && [ "$(stat -c '%a %s' -- "$path")" = "600 $bytes" ]; then
        placed=placed
    elif [ "$existing" = keep ] && exists; then
        leave exists
    fi
}
# Makes this the only one that writes what arrives.
hold() {
    # The one that puts the file in its place at this moment removes it.
    absent || is_ours || absent || leave foreign
    waited=0
    while held; do
        [ "$id" != "$upload" ] || : >"$partial/fence.$pid.$start"
        [ $waited -lt 15 ] || leave busy
        run rest sleep 1 &
        await rest
        [ ! "$halted" ] || give_up
        waited=$((waited + 1))
    done
    [ -d "$partial" ] || mkdir -m 700 "$partial" 2>&9 || leave failed create
    is_ours && chmod 700 "$partial" || leave foreign
    rm -f "$partial"/fence.*
    set -- $(process $$)
    me=$$.$2
    echo "$upload $$ $2" 2>&9 >"$partial/holder.$me" || leave failed create
    mv -f "$partial/holder.$me" "$partial/holder" 2>&9 || leave failed create
    [ -e "$partial/data" ] || : 2>&9 >"$partial/data" || leave failed create
}
# As `listen`, but to no more than the commands: what follows them is data.
listen_to_commands() {
    echo "listener pid"
    while IFS= read -r line; do
        echo "said $line"
        case $line in take*) exit ;; esac
    done
    echo gone
}
serve_commands() {
    listen_to_commands <&7 >&6 3>&- 6>&- 7<&- 9>&- &
    listener=$!
    until [ "$kept" ]; do
        [ ! "$halted" ] || give_up
        next
        case $who$what in
            saidhash)
                set -- $value
                dd if="$partial/data" bs="$block" skip="$1" count="$2" 3>&- 6>&- 7<&- 9>&- | digest &
                await_digest
                say hash $result
                ;;
            saidplaced)
                digest <"$path" &
                await_digest
                say hash $result
                ;;
            saidaccept)
                rm -rf "$partial"
                leave done
                ;;
            saidtake) kept=$value ;;
        esac
    done
    wait $listener
    listener= listening=
}
# Takes what is missing. What cannot be written is removed: a full volume is hard on others.
take() {
    size=$(size)
    [ "$size" -eq "$kept" ] || dd if=/dev/null of="$partial/data" bs=1 seek="$kept" || leave failed write
    taking=1
    run head head -c $((bytes - kept)) <&7 >>"$partial/data" &
    await head
    taking=
    [ ! "$halted" ] || give_up
    [ $result -eq 0 ] || {
        rm -rf "$partial"
        leave failed write
    }
    # Fewer: the client is gone.
    [ "$(size)" -eq "$bytes" ] || give_up
    hear
}
# A link is refused when the name has been taken meanwhile, which a move is not; not every file system has links.
place() {
    if [ "$existing" != keep ]; then
        mv -f -- "$partial/data" "$path" 2>&9 || leave failed rename
    elif ! ln -- "$partial/data" "$path"; then
        if exists; then leave exists; fi
        mv -- "$partial/data" "$path" 2>&9 || leave failed rename
    fi
    rm -rf "$partial"
}
main() {
    begin
    ready
    for tool in head dd stat mkdir chmod mv rm cat sleep; do
        command -v $tool >/dev/null || leave missing $tool
    done
    find_sum || leave missing sha256sum
    examine
    hold
    # One that has held it until now may have put the file in its place.
    examine
    say have "$(size)" $placed
    serve_commands
    take
    flush "$partial/data" || leave failed sync
    digest <"$partial/data" &
    await_digest
    say written $result
    until [ "$confirmed" ]; do
        [ ! "$halted" ] || give_up
        next
        [ "$who$what" != "said$nonce" ] || confirmed=1
    done
    place
    flush "$directory"
    leave done
}
supervise
