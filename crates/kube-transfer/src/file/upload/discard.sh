# Removes what an upload has left.
#
#   sh -c SCRIPT sh PATH
partial=$1.partial
[ -e "$partial" ] || [ -L "$partial" ] || exit 0
is_ours || exit 253
if held 2>/dev/null; then exit 254; fi
rm -rf "$partial"
