# The state and the start time of a process; nothing when there is none. The name before them may hold anything.
process() {
    { IFS= read -r line </proc/"$1"/stat; } 2>/dev/null || return
    set -- ${line##*) }
    echo "$1 ${20}"
}
