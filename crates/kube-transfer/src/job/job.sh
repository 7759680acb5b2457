# What the scripts about jobs have in common: who a process is, and what became of it. The first arguments of each are
# DIRECTORY CONTAINER; the second is the container's id, or empty.
#
# In the directory:
#   state      who the wrapper is: "1 <number> <start time> <start time of process 1> <container's id, or ->"
#   starter    the same of the shell that starts it; counts as long as there is no `state`
#   ended.<n>  the program has ended with exit code n
#   log        what the program printed
directory=$1 container=$2
set -f
# Who this shell is.
record() {
    init=$(process 1)
    set -- $(process $$)
    printf '1 %s %s %s %s\n' $$ "$2" "${init#* }" "${container:--}"
}
# Whether the process `pid` that began at `start` is there. `kill -0` would call a zombie alive, and a successor.
lives() {
    set -- $(process "$pid")
    [ "$2" = "$start" ] && [ "$1" != Z ] && [ "$1" != X ]
}
# Sets `who` to the record, and `state` and `code` to what became of it. The files may have become anything.
judge() {
    who= code= pid= state=none
    [ -d "$directory" ] || return 0
    state=empty role=state
    [ -e "$directory/state" ] || role=starter
    [ -f "$directory/$role" ] || return 0
    state=unreadable
    who=$(head -c 300 "$directory/$role" | head -n 1)
    set -- $who
    case $#:$1:$2$3 in
        5:1:*[!0-9]* | 5:1:) return 0 ;;
        5:1:*) ;;
        *) return 0 ;;
    esac
    pid=$2 start=$3 state=running init=$(process 1)
    [ $role = state ] || state=starting
    [ "$5" = - ] || [ "${container:-$5}" = "$5" ] || state=gone
    [ "$4" = "${init#* }" ] || state=gone
    lives || state=gone
    # After the look at the process: when that has ended meanwhile, it has left its exit code.
    if [ $role = starter ]; then
        [ $state = starting ] || [ ! -e "$directory/state" ] || judge
        return 0
    fi
    set +f
    for file in "$directory"/ended.*; do
        case ${file##*/ended.} in
            '' | *[!0-9]*) ;;
            *) code=${file##*/ended.} state=ended ;;
        esac
    done
    set -f
}
report() {
    printf '%s %s %s\n' $state "${code:--}" "$who"
}
failed() {
    printf 'failed %s\n' "$*"
    exit 0
}
# Judges, and ends with the report unless the job in the directory is the one with this record.
expect() {
    judge
    [ "$who" = "$1" ] || {
        [ $state = none ] || state=other
        report
        exit 0
    }
}
