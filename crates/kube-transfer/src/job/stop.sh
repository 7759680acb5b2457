# Asks a job to end, once a second, and kills it when it has not done so after GRACE seconds.
#
#   sh -c SCRIPT sh DIRECTORY CONTAINER RECORD GRACE LIMIT
#
# The wrapper passes the signals on: only the parent of a process knows that its number is still its own.
grace=$4 limit=$5 waited=0
expect "$3"
while [ $state = running ] && [ $waited -lt "$limit" ]; do
    signal=TERM
    [ $waited -lt "$grace" ] || signal=USR1
    if lives; then kill -s $signal "$pid"; fi
    sleep 1
    [ ! "$gone" ] || exit
    waited=$((waited + 1))
    expect "$3"
done
report
