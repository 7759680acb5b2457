# The operator's own files in its scratch space, as an instance manager has them there.
mkdir -p /controller/certificates /controller/log
[ -e /controller/manager ] || printf '#!/bin/sh\nexit 0\n' >/controller/manager
chmod 755 /controller/manager
echo "a certificate of the operator" >/controller/certificates/server.crt
: >>/controller/log/postgres.csv
