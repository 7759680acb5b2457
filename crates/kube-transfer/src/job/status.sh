# Says what became of a job.
#
#   sh -c SCRIPT sh DIRECTORY CONTAINER
judge
# Its start may be between two steps.
[ $state != empty ] || {
    sleep 1
    judge
}
report
