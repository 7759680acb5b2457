# Removes a job that has ended. What may hold secrets, its log and whatever else is there, goes first; last what tells
# that it was a job, so that an end in the middle can be made good.
#
#   sh -c SCRIPT sh DIRECTORY CONTAINER RECORD
trap : HUP TERM
expect "$3"
case $state in
    running | starting)
        report
        exit 0
        ;;
esac
set +f
for entry in "$directory"/* "$directory"/.[!.]* "$directory"/..?*; do
    case ${entry##*/} in
        state | starter | ended.*) ;;
        *) rm -rf "$entry" || failed remove its log ;;
    esac
done
rm -rf "$directory" || failed remove its directory
state=none who= code=
report
