# Appends a piece of a file, which has arrived in PATH.pieces/, to what is put together of it.
#
#   sh -c SCRIPT sh PATH UPLOAD_ID NUMBER OFFSET LAST
#
# One that was appended in part, by a connection that broke, is appended anew; one that is gone was appended. The LAST one is
# followed by a move to where an upload looks for what an earlier one has left.
path=$1 upload=$2 number=$3 offset=$4 last=$5 partial=$1.pieces
umask 077
# One whose answer was lost has done it.
[ -e "$partial" ] || [ -L "$partial" ] || exit 0
is_ours || exit 253
if held 2>/dev/null; then exit 254; fi
set -- $(process $$)
echo "$upload $$ $2" >"$partial/holder" || exit 1
[ ! "$gone" ] || exit 1
if [ -e "$partial/$number" ]; then
    dd if=/dev/null of="$partial/joined" bs=1 seek="$offset" 2>/dev/null || exit 252
    cat -- "$partial/$number" >>"$partial/joined" || {
        # A full volume is hard on others.
        rm -rf "$partial"
        exit 252
    }
    rm -f "$partial/$number"
fi
if [ "$number" = "$last" ]; then
    if [ -e "$partial/joined" ]; then
        [ -d "$path.partial" ] || mkdir -m 700 "$path.partial" || exit 252
        mv -- "$partial/joined" "$path.partial/data" || exit 252
    fi
    rm -rf "$partial"
else
    rm -f "$partial/holder"
fi
