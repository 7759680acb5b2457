# What the scripts that serve a client begin with. `nonce` is set: the client's random word.
#
# Process 1 of a container may be PostgreSQL, which takes the end of a process that it did not start for the crash of one
# of its own, disconnects every client and runs recovery. So each process of ours has a parent that lives and waits for
# it, however this ends: nothing is left to process 1. Nobody signals a group; only programs without children are told to
# end, and only while their parent waits for them.
#
# The first shell waits for one that runs `main`. That one has a pipe to itself, and reads from it, line by line, what
# happens: "<who> pid <number>", "<who> end <exit code>", "said <line from the client>", "gone", "stop". So it waits for
# many things at once, which a shell can do in no other portable way.
#
# The end of standard input is all that a process hears of a connection that was cut; of one that fell silent it hears
# nothing. So the client sends a line every few seconds, and without one for 50 s it counts as gone.
#
# Files: 3 standard output, 6 the pipe of events, 7 standard input, 9 standard error.
exec 3>&1 7<&0 9>&2
halted= quiet=0 pause=5 timer= listener= listening=

# Runs a program under a shell that stays until the program has ended; tells of both. The shell catches signals only once it
# has made the process of the program: one that inherits a trap loses a signal that comes before it runs anything.
run() {
    exec 5<&0
    who=$1
    shift
    "$@" <&5 2>&9 5<&- 6>&- 7<&- 9>&- &
    trap : HUP TERM
    echo "$who pid $!" >&6
    wait $!
    code=$?
    # A signal to this shell interrupts `wait`.
    while [ $code -gt 128 ] && kill -0 $!; do
        wait $!
        code=$?
    done
    echo "$who end $code" >&6
    return $code
}
digest() {
    trap : HUP TERM
    value=$(run sum $sum)
    echo "digest end ${value%% *}" >&6
}
listen() {
    echo "listener pid"
    while IFS= read -r line; do echo "said $line"; done
    echo gone
}
# The client is gone, or this shell is told to end.
halt() {
    [ "$halted" ] || {
        halted=0 pause=2
        kill $timer
    }
}
progress() { :; }
# Tells the first shell that this one can be known to end. Now and again, as a signal that comes just before `wait` is
# noticed only with the next one.
ready() {
    kill -s USR1 $$
}
tick() {
    run timer sleep $pause &
    ticker=$!
}
# Reads the next event into `who`, `what` and `value`. After `halt`, `halted` counts the steps of two seconds.
next() {
    # A signal interrupts `read` in some shells.
    read -r who what value || who=
    case $who$what in
        timerpid)
            timer=$value
            [ "$halted" != 0 ] || kill $timer
            ;;
        timerend)
            timer=
            # Else one zombie would stay for each.
            wait $ticker
            quiet=$((quiet + 1))
            progress
            ready
            if [ "$halted" ]; then halted=$((halted + 1)); elif [ $quiet -ge 10 ]; then halt; fi
            tick
            ;;
        listenerpid) listening=1 ;;
        said*) quiet=0 ;;
        gone | stop) halt ;;
    esac
}
begin() {
    exec 6>/proc/self/fd/0 2>/dev/null
    trap 'echo stop >&6' HUP TERM
    tick
}
hear() {
    listen <&7 >&6 3>&- 6>&- 7<&- 9>&- &
    listener=$!
}
# Ends what only waits: the timer, and shells without children.
finish() {
    until [ "$timer" ] && [ "$listening" = "${listener:+1}" ]; do next; done
    kill $timer $listener "$@"
    until wait; do :; done
}
# A signal to a shell that has just been forked is lost, and one that comes while bash starts a pipeline makes it wait for
# that: so it is passed on once `main` is ready.
supervise() {
    ready= told=
    trap told=1 HUP INT TERM
    trap ready=1 USR1
    : | main "$@" &
    until wait; do
        [ "$ready$told" != 11 ] || kill $!
    done
    exit 0
}
