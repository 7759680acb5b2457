# Starts a job: makes its directory, and in it a wrapper with a session of its own.
#
#   sh -c SCRIPT sh DIRECTORY CONTAINER WORKING_DIRECTORY PROGRAM [ARGUMENT...]
#
# `wrapper` is set: the script of the wrapper. From here on this shell goes on to the end, whatever becomes of the client:
# who finds the directory finds the job too.
trap : HUP TERM
working_directory=$3
shift 3
mask=$(umask)
umask 077
for tool in head mkdir mv rm rmdir setsid sleep stat tail; do
    command -v $tool >/dev/null || {
        echo "missing $tool"
        exit 0
    }
done
find_sum || {
    echo "missing sha256sum"
    exit 0
}
# The wrapper is an orphan from its beginning: what would keep it from coming to life is found before.
setsid true || failed run setsid
[ "$(process $$)" ] || failed read /proc
if [ "$working_directory" ]; then
    cd "$working_directory" || failed enter its working directory
fi
mkdir -m 700 "$directory" || {
    if [ -e "$directory" ] || [ -L "$directory" ]; then
        echo exists
        exit 0
    fi
    failed create its directory
}
give_up() {
    rm -f "$directory/state.new" "$directory/state" "$directory/starter" "$directory/log"
    rmdir "$directory"
    failed "$@"
}
record >"$directory/starter" || give_up write its state
# File 3 is closed once the wrapper has said who it is. The files are opened before there is a wrapper.
said=$({
    setsid sh -c "$wrapper" kube-transfer-job "$directory" "$container" "$mask" "$@" &
} 3>&1 </dev/null >>"$directory/log" 2>&1)
[ "$said" = ready ] || give_up write its state
judge
report
