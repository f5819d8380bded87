-- Columns of relation $1: name, whether values may be JSON objects (json, jsonb, hstore, composites; a
-- domain may be over one of them), whether null may stand in it.
select a.attname::text,
       t.oid in (114, 3802) or t.typtype in ('c', 'd') or t.typname = 'hstore',
       not a.attnotnull
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_type t on t.oid = a.atttypid
 where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
 order by a.attnum
