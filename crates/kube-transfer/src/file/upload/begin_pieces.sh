# Whether a file may be brought in pieces, and how much of it is put together already.
#
#   sh -c SCRIPT sh PATH
#
# Prints "joined <bytes> of <bytes that have arrived>"; nothing where the file, or what an upload over one connection has left, is there.
umask 077
for taken in "$1" "$1.partial"; do
    if [ -e "$taken" ] || [ -L "$taken" ]; then exit; fi
done
partial=$1.pieces
[ -e "$partial" ] || [ -L "$partial" ] || mkdir -m 700 "$partial" || exit 1
is_ours || exit 253
joined=0 arrived=0
for data in "$partial"/joined "$partial"/[0-9]* "$partial"/[0-9]*.partial/data; do
    [ -f "$data" ] || continue
    size=$(stat -c %s -- "$data") || exit 1
    arrived=$((arrived + size))
    [ "$data" != "$partial/joined" ] || joined=$size
done
echo "joined $joined of $arrived"
