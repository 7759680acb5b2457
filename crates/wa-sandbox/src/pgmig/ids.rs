//! The statements that give restored tenants the ids of the target's instances.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::mapping::Mapping;

/// Everything that names a tenant is changed in one transaction. Ids may be exchanged among tenants, and unique ones are
/// compared row by row: so every id goes by way of one that nobody has.
const CHANGE: &str = r"
DO $$
DECLARE
  place record;
  way text;
BEGIN
  FOR place IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
    WHERE contype = 'f' AND confrelid = 'tenant'::regclass
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY DEFERRED', place.of_table, place.conname);
  END LOOP;
  FOREACH way IN ARRAY ARRAY['source:hop', 'hop:target'] LOOP
    FOR place IN SELECT attrelid::regclass AS of_table, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
      WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND atttypid = 'uuid'::regtype
        AND (attname = 'tenant_id' OR attname = 'instance_id' AND attrelid = 'tenant'::regclass)
    LOOP
      EXECUTE format('UPDATE %1$s SET %2$I = m.%3$I FROM mapping m WHERE %2$I = m.%4$I', place.of_table, place.attname,
        split_part(way, ':', 2), split_part(way, ':', 1));
    END LOOP;
  END LOOP;
  SET CONSTRAINTS ALL IMMEDIATE;
  FOR place IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
    WHERE contype = 'f' AND confrelid = 'tenant'::regclass
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I NOT DEFERRABLE', place.of_table, place.conname);
  END LOOP;
END $$;
";

/// The statements for a mapping.
pub(crate) fn change(mapping: &Mapping) -> String {
    let mut script = "BEGIN;\nCREATE TEMPORARY TABLE mapping (source uuid, hop uuid, target uuid) ON COMMIT DROP;\n"
        .to_owned();
    for (source, target) in mapping {
        let hop = Uuid::new_v4();
        // Writing to a String does not fail.
        let _ = writeln!(
            script,
            "INSERT INTO mapping VALUES ('{source}', '{hop}', '{target}');"
        );
    }
    script + CHANGE + "COMMIT;\n"
}
