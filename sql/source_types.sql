-- The types $1 and all types that they are made of: oid, domain base, array element, delimiter,
-- names (null if it is no composite) and types of a composite's attributes, whether it is hstore.
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
       t.typbasetype,
       case when t.typcategory = 'A' and t.typtype = 'b' then t.typelem else 0 end,
       coalesce(e.typdelim, ',')::text,
       case when t.typtype = 'c' then coalesce(c.names, '{}') end,
       coalesce(c.types, '{}'),
       t.typname = 'hstore'
         and exists (select from pg_catalog.pg_cast k where k.castsource = t.oid and k.casttarget = 'json'::regtype)
  from needed
  join pg_catalog.pg_type t on t.oid = needed.oid
  left join pg_catalog.pg_type e on e.oid = t.typelem
  left join lateral (
       select array_agg(a.attname::text order by a.attnum) as names,
              array_agg(a.atttypid order by a.attnum) as types
         from pg_catalog.pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
       ) c on true
