# Dumps the store's database to the volume and keeps the newest dumps: so many of the weekly day, so many of the others.
set -euo pipefail
cd /store-backups
stamp=$(date +%Y%m%d-%H%M%S)
echo "Backing up $PGDATABASE to store.dump_$stamp"
# To standard output, as the product's page has it: from PostgreSQL 16 on such a file has a second table of contents at its
# end, which one by --file or through a pipe has not.
pg_dump --format=custom >"store.dump_$stamp"
if [ -d /etc/auth-encryption ]; then
  printf '%s\n' 'apiVersion: v1' 'kind: Secret' 'metadata:' "  name: $INSTANCE-auth-encryption" \
    "  namespace: $NAMESPACE" 'type: Opaque' 'data:' \
    "  authorization_encryption_key: $(base64 -w0 /etc/auth-encryption/authorization_encryption_key)" \
    >"auth-encryption-${INSTANCE}_$stamp.yaml"
fi
weekly=0
daily=0
for dump in $(ls -r store.dump_*); do
  taken=${dump#store.dump_}
  if [ "$(date -d "${taken%-*}" +%w)" = "$STORE_BACKUP_HISTORY_FILES_WEEKLY_BACKUP_DAY" ]; then
    weekly=$((weekly + 1))
    keep=$((weekly <= STORE_BACKUP_HISTORY_FILES_KEEP_WEEKLY))
  else
    daily=$((daily + 1))
    keep=$((daily <= STORE_BACKUP_HISTORY_FILES_KEEP_DAILY))
  fi
  if [ $keep = 0 ]; then
    echo "Deleting $dump"
    rm -f "$dump" "auth-encryption-${INSTANCE}_$taken.yaml"
  fi
done
ls -l
