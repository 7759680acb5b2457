# Stays with a job until that has ended, and leaves its exit code.
#
#   setsid sh -c SCRIPT kube-transfer-job DIRECTORY CONTAINER UMASK PROGRAM [ARGUMENT...]
#
# Its parent is process 1 of the container, which may be PostgreSQL and takes any other exit code than 0 for a crash of one
# of its own: whatever happens, this shell ends with 0. It alone signals the program, as long as it has not waited for it.
trap 'exit 0' EXIT
child=
tell() {
    [ ! "$child" ] || kill -s "$1" "$child"
}
trap 'tell TERM' TERM
trap 'tell KILL' USR1
trap : HUP INT QUIT
mask=$3
shift 3
# What the shell has to say is not part of the log.
exec 4>&2 2>/dev/null
# Who can be found can be signalled: the traps are set by now.
record >"$directory/state.new" && mv "$directory/state.new" "$directory/state" || {
    echo failed >&3
    exit 0
}
echo ready >&3
exec 3>&-
{
    umask "$mask"
    exec "$@"
} 2>&4 4>&- &
child=$!
wait $child
code=$?
# A signal to this shell interrupts `wait`.
while [ $code -gt 128 ] && kill -0 $child; do
    wait $child
    code=$?
done
child=
# Needs no room, as the program may have filled the file system.
mv "$directory/starter" "$directory/ended.$code"
exit 0
