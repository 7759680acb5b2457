#!/bin/sh
# Hands its arguments to the Portworx daemon of this node and shows what that answers.
set -eu
umask 077
driver=/var/lib/osd/driver
call=$(mktemp -d "$driver/calls/XXXXXXXXXX")
trap 'rm -rf "$call"' EXIT
for argument in "$@"; do
  printf '%s\0' "$argument"
done >"$call/arguments"
mkfifo "$call/answered"
# Open for both ways: the answer waits in it, whoever comes first.
exec 3<>"$call/answered"
echo "${call##*/}" >"$driver/door"
read -r code <&3
cat "$call/stdout"
cat "$call/stderr" >&2
exit "$code"
