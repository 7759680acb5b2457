# Runs a command and accounts for every byte of its standard output.
#
#   sh -c SCRIPT kube-transfer "NAME..." LINES LAST_SIGNAL DIRECTORY PROGRAM [ARGUMENT...]
#
# Standard input, by lines, since not every server can close it: a nonce; the value of each NAME; LINES lines for the
# command's input; empty lines as signs of life; at last the nonce again, once the client has all the output. A `read` of
# the shell takes no byte more than its line. Standard error ends with "<nonce> key value key value...".
#
# Nothing is written to the file system, which may be read-only. `tee` opens a pipe that this shell made: standard output
# itself must not be opened through /proc, which other users than root may not do.
#
# When the client is gone, the command is asked to end: pg_dump then cancels what the server does for it. What copies its
# output follows, as it may be stuck in a pipe that nobody reads any more. A command that stays is sent LAST_SIGNAL.
names=$1 lines=$2 last=$3 working_directory=$4
shift 4
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
for tool in tee sleep; do
    command -v $tool >/dev/null || missing $tool
done
find_sum || missing sha256sum
start() {
    for name in $names; do export "$name"; done
    [ ! "$working_directory" ] || cd -- "$working_directory" || exit 126
    exec "$@" 3>&-
}
copy() {
    exec tee /proc/self/fd/4 >&3 3>&-
}
main() {
    command= copy= code= copied= hash= reporter= reporting= asked= over=
    begin
    hear
    printf %s "$input" | run command start "$@" | run copy copy 4>&1 >&3 | digest &
    ready
    # A process that has said something no longer loses a signal.
    until [ "$over" ] && [ "$reporting" = "${reporter:+1}" ]; do
        next
        case $who$what in
            commandpid) command=$value ;;
            commandend) command= code=$value ;;
            copypid) copy=$value ;;
            copyend) copy= copied=$value ;;
            digestend) hash=${value:-none} ;;
            reporterpid) reporting=1 ;;
            "said$nonce") over=1 ;;
        esac
        report=
        if [ "$hash" ] && [ "$copied" ] && [ "$code" ]; then
            [ ! "$halted" ] || over=1
            report="code $code tee $copied sha256 $hash"
        fi
        # A client that was only asleep learns why.
        [ ! "$halted" ] || report=ended
        [ ! "$report" ] || [ "$reporter" ] || {
            {
                echo reporter pid >&6
                printf '\n%s %s\n' "$nonce" "$report" >&9
            } &
            reporter=$!
        }
        [ "$halted" ] || continue
        [ ! "$command" ] || [ "$asked" = $halted ] || {
            asked=$halted
            kill $command
        }
        if [ "$command" ] && [ $halted -ge 3 ]; then kill -s "$last" $command; fi
        if [ "$copy" ] && { [ "$code" ] || [ $halted -ge 2 ]; }; then kill $copy; fi
    done
    finish $reporter
}
supervise "$@"
