-- What people know of the types $1 and of all types that they are made of.
with recursive needed (oid) as (
  select unnest($1::oid[])
  union
  select part.oid
    from needed
    join pg_catalog.pg_type t on t.oid = needed.oid,
         lateral (select t.typbasetype
                  union all
                  select t.typelem where t.typcategory = 'A' and t.typtype = 'b'
                  union all
                  select a.atttypid from pg_catalog.pg_attribute a
                   where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
                 ) part (oid)
   where part.oid <> 0
)
select t.oid,
       n.nspname::text,
       t.typname::text,
       -- Of a table's row type it stands at the table.
       coalesce(pg_catalog.obj_description(t.oid, 'pg_type'), pg_catalog.obj_description(t.typrelid, 'pg_class')),
       t.typbasetype,
       t.typtypmod,
       t.typndims,
       case when t.typcategory = 'A' and t.typtype = 'b' then t.typelem else 0 end,
       case when t.typtype = 'e' then coalesce(e.labels, '{}') end,
       t.typname = 'hstore'
         and exists (select from pg_catalog.pg_cast k where k.castsource = t.oid and k.casttarget = 'json'::regtype),
       case when t.typtype = 'c' then coalesce(c.names, '{}') end,
       coalesce(c.types, '{}'),
       coalesce(c.modifiers, '{}'),
       coalesce(c.dimensions, '{}'),
       coalesce(c.sql, '{}')
  from needed
  join pg_catalog.pg_type t on t.oid = needed.oid
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  left join lateral (
       select array_agg(l.enumlabel::text order by l.enumsortorder) as labels
         from pg_catalog.pg_enum l
        where l.enumtypid = t.oid
       ) e on true
  left join lateral (
       select array_agg(a.attname::text order by a.attnum) as names,
              array_agg(a.atttypid order by a.attnum) as types,
              array_agg(a.atttypmod order by a.attnum) as modifiers,
              array_agg(a.attndims::integer order by a.attnum) as dimensions,
              array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) order by a.attnum) as sql
         from pg_catalog.pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
       ) c on true
 order by t.oid
