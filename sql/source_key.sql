-- The primary key columns of relation $1, in the key's order.
select a.attname::text
  from pg_catalog.pg_index i,
       unnest(i.indkey::int2[]) with ordinality k (attnum, position),
       pg_catalog.pg_attribute a
 where i.indrelid = $1::oid and i.indisprimary
   and a.attrelid = i.indrelid and a.attnum = k.attnum
 order by k.position
