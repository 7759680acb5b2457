# Takes a file from standard input and puts it in place when the client says that it is right.
#
#   sh -c SCRIPT sh PATH BYTES WORD replace|keep
#
# Standard input: a nonce, a line; BYTES bytes; the nonce again, once the client has compared the SHA-256. Standard
# output, by lines: "<nonce> <what happened>...", after whatever programs had to say. When the client is gone, standard
# input ends, and the temporary file is removed as after any other failure.
IFS= read -r nonce || exit
exec 2>&1
path=$1 bytes=$2 temporary=$1.partial-$3 existing=$4
directory=${path%/*}/
umask 077
say() {
    printf '%s %s\n' "$nonce" "$*"
}
# Stays until the client has the answer and goes: a node may drop what was not read of a process that has exited, and a
# client that still sends might not hear of it.
leave() {
    rm -f -- "$temporary"
    say "$@"
    cat >/dev/null
    exit 0
}
for tool in head wc mv rm cat; do
    command -v $tool >/dev/null || leave missing $tool
done
# openssl first: it uses the CPU's SHA instructions, which most builds of sha256sum do not.
if openssl version >/dev/null 2>&1; then
    sum='openssl dgst -sha256 -r'
elif command -v sha256sum >/dev/null; then
    sum=sha256sum
else
    leave missing sha256sum
fi
exists() {
    [ -e "$path" ] || [ -L "$path" ]
}
if [ -d "$path" ]; then leave exists; fi
if [ "$existing" = keep ] && exists; then leave exists; fi
trap 'rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
(set -C && : >"$temporary") || leave failed create
head -c "$bytes" >"$temporary" || leave failed write
count=$(wc -c <"$temporary")
# Fewer: the client is gone.
[ "$count" -eq "$bytes" ] || exit 1
flush() {
    sync -- "$1" 2>/dev/null || sync
}
flush "$temporary" || leave failed sync
hash=$($sum <"$temporary") || leave failed read
say written "${hash%% *}"
IFS= read -r word && [ "$word" = "$nonce" ] || exit 1
# A link is refused when the name has been taken meanwhile, which a move is not; not every file system has links.
if [ "$existing" = replace ]; then
    mv -f -- "$temporary" "$path" || leave failed rename
elif ! ln -- "$temporary" "$path" 2>/dev/null; then
    if exists; then leave exists; fi
    mv -- "$temporary" "$path" || leave failed rename
fi
flush "$directory" || :
leave done
