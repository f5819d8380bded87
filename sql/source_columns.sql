-- Columns of relation $1: name, type, whether null may stand in it.
select a.attname::text,
       a.atttypid,
       not a.attnotnull
  from pg_catalog.pg_attribute a
 where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
 order by a.attnum
