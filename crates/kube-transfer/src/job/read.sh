# Prints a part of a job's log; waits for one if there is none yet.
#
#   sh -c SCRIPT sh DIRECTORY CONTAINER RECORD OFFSET LIMIT SECONDS
#
# The answer: the report; "log <size>"; at most LIMIT bytes from OFFSET on.
offset=$4 limit=$5 left=$6
while :; do
    # First the job, then its log: of a job that has ended the log is whole.
    expect "$3"
    [ -f "$directory/log" ] || failed find its log
    size=$(stat -L -c %s -- "$directory/log") || failed read its log
    [ $size -eq "$offset" ] && [ $state = running ] && [ "$left" -gt 0 ] || break
    sleep 1
    [ ! "$gone" ] || exit
    left=$((left - 1))
done
report
echo "log $size"
length=$((size - offset))
[ $length -le "$limit" ] || length=$limit
[ $length -le 0 ] || tail -c +$((offset + 1)) "$directory/log" | head -c $length
