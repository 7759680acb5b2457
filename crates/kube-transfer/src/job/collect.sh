# Says how a job ended, and accounts for its log.
#
#   sh -c SCRIPT sh DIRECTORY CONTAINER RECORD
#
# The answer: the report; "log <size> <SHA-256>".
expect "$3"
[ -f "$directory/log" ] || failed find its log
find_sum || {
    echo missing sha256sum
    exit 0
}
size=$(stat -L -c %s -- "$directory/log") || failed read its log
hash=$($sum <"$directory/log") || failed read its log
report
echo "log $size ${hash%% *}"
