-- The store database: a few tables as the real one has, every kind of object a dump can hold, and rows that are always
-- the same. Its real schema is not public; `tenant` has the columns that administrators' scripts read.
CREATE TABLE schema_version (version integer PRIMARY KEY, applied timestamptz NOT NULL);
INSERT INTO schema_version SELECT n, timestamptz '2024-01-01 00:00Z' + n * interval '9 days' FROM generate_series(1, :schema_version) n;

CREATE TABLE tenant (
  tenant_id uuid PRIMARY KEY,
  instance_id uuid NOT NULL UNIQUE,
  name text,
  region text NOT NULL,
  plan text NOT NULL DEFAULT 'plus',
  deleted boolean,
  deleted_at timestamptz,
  created timestamptz NOT NULL,
  updated timestamptz NOT NULL
);
-- rows of tenant

CREATE TABLE workspace (
  workspace_id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES tenant ON DELETE CASCADE,
  name text NOT NULL,
  language text NOT NULL,
  description text,
  training jsonb NOT NULL,
  created timestamptz NOT NULL
);
CREATE INDEX workspace_of_tenant ON workspace (tenant_id);
CREATE INDEX workspace_training ON workspace USING gin (training);
INSERT INTO workspace
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
  (:owners)[1 + n % cardinality(:owners)],
  'Skill ' || n, (ARRAY['en', 'de', 'ja', 'fr', 'ar'])[1 + n % 5],
  CASE WHEN n % 3 > 0 THEN E'Line one\nline two, Überblick 概要 ✓' END,
  jsonb_build_object('status', 'Available', 'intents', (
    SELECT jsonb_agg(jsonb_build_object('intent', 'intent_' || i, 'examples', jsonb_build_array(md5(n || 'a' || i), md5(n || 'b' || i))))
    FROM generate_series(1, 20) i)),
  timestamptz '2025-06-01 00:00Z' + n * interval '1 day'
FROM generate_series(:first_workspace, :first_workspace + :workspaces - 1) n;

CREATE TABLE dialog_node (
  workspace_id uuid REFERENCES workspace ON DELETE CASCADE,
  node text,
  parent text,
  output text,
  PRIMARY KEY (workspace_id, node)
);
INSERT INTO dialog_node
SELECT workspace_id, 'node_' || i, CASE WHEN i > 1 THEN 'node_' || i / 2 END, 'Answer ' || i || ': ' || md5(workspace_id::text || i)
FROM workspace, generate_series(1, 25) i;

CREATE SEQUENCE snapshot_number;
CREATE TABLE snapshot (
  snapshot_id bigint PRIMARY KEY DEFAULT nextval('snapshot_number'),
  workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
  taken timestamptz NOT NULL,
  content bytea NOT NULL
);
ALTER SEQUENCE snapshot_number OWNED BY snapshot.snapshot_id;
-- The content is random: trying to compress it would only cost time.
ALTER TABLE snapshot ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE attachment (workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE, content oid NOT NULL);
INSERT INTO attachment
SELECT workspace_id, lo_from_bytea(0, convert_to(repeat(workspace_id::text, 100), 'UTF8')) FROM workspace ORDER BY workspace_id LIMIT 3;

CREATE TABLE log_event (event_id bigint PRIMARY KEY, workspace_id uuid NOT NULL, request jsonb, response jsonb, at timestamptz NOT NULL);

CREATE VIEW active_tenant AS
  SELECT tenant_id, instance_id, name, region FROM tenant WHERE deleted IS NOT TRUE AND region <> 'System';
