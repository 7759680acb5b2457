# Runs a command and accounts for every byte of its standard output.
#
#   sh -c SCRIPT kube-transfer "NAME..." LINES PROGRAM [ARGUMENT...]
#
# Standard input, by lines, since not every server can close it: a nonce; the value of each NAME; LINES lines for the
# command's input; at last the nonce again, once the client has all the output. A `read` of the shell takes no byte more
# than its line. Standard error ends with "<nonce> key value key value...".
#
# Files: 3 standard output, 4 to the digest, 5 to the count, 6 to the report, 7 standard input. Nothing is written to
# the file system, which may be read-only. `tee` opens pipes that this shell made: standard output itself must not be
# opened through /dev/fd, which other users than root may not do.
IFS= read -r nonce || exit
names=$1 lines=$2
shift 2
for name in $names; do
    IFS= read -r "$name" || exit
done
input=
while [ "$lines" -gt 0 ]; do
    IFS= read -r line || exit
    input=$input$line'
'
    lines=$((lines - 1))
done
missing() {
    printf '\n%s missing %s\n' "$nonce" "$1" >&2
    read -r line
    exit
}
for tool in tee wc; do
    command -v $tool >/dev/null || missing $tool
done
# openssl first: it uses the CPU's SHA instructions, which most builds of sha256sum do not.
if openssl version >/dev/null 2>&1; then
    sum='openssl dgst -sha256 -r'
elif command -v sha256sum >/dev/null; then
    sum=sha256sum
else
    missing sha256sum
fi
fd=/dev/fd
[ -e $fd/0 ] || fd=/proc/self/fd
exec 3>&1 7<&0

# Hears the client's last word, or its death: then nothing of ours may stay. The container runtime made this shell the
# leader of a process group; where it is none, no group has its number.
guard() {
    # Not as redirections of the call: shells keep the files open that they put back afterwards.
    exec >/dev/null 2>&1 3>&- 4>&- 5>&-
    IFS= read -r word <&7 && [ "$word" = "$nonce" ] && return
    trap '' TERM
    kill -s TERM -- -$$ || kill -s TERM $child
    for second in 1 2 3 4 5; do
        kill -0 $child || return
        sleep 1
    done
    kill -s KILL -- -$$ || kill -s KILL $child
}
produce() {
    printf %s "$input" | (
        for name in $names; do export "$name"; done
        exec "$@"
    ) 3>&- 4>&- 5>&- 6>&- 7<&- &
    child=$!
    guard &
    wait $child
    echo "code $?" >&6
}
copy() {
    tee $fd/4 $fd/5 >&3
    echo "tee $?" >&6
}
digest() {
    $sum | {
        read -r value line
        echo "sha256 $value" >&6
    }
}
count() {
    wc -c | {
        read -r value
        echo "bytes $value" >&6
    }
}
# Ends with the guard, which keeps file 6 open.
report() {
    report=
    for part in code tee sha256 bytes; do
        read -r line
        report="$report $line"
    done
    printf '\n%s%s\n' "$nonce" "$report" >&2
    read -r line || exit 0
}
{ { { produce "$@" | copy; } 4>&1 | digest; } 5>&1 | count; } 6>&1 | report
