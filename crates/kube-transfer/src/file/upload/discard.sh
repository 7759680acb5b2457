# Removes what an upload has left.
#
#   sh -c SCRIPT sh PATH
for partial in "$1.partial" "$1.pieces"; do
    [ -e "$partial" ] || [ -L "$partial" ] || continue
    is_ours || exit 253
    if held 2>/dev/null; then exit 254; fi
    rm -rf "$partial"
done
