-- The types $1 and all types that they are made of: oid, domain base, array element, delimiter.
with recursive needed (oid) as (
  select unnest($1::oid[])
  union
  select part.oid
    from needed
    join pg_catalog.pg_type t on t.oid = needed.oid,
         lateral (values (t.typbasetype),
                         (case when t.typcategory = 'A' and t.typtype = 'b' then t.typelem else 0 end)) part (oid)
   where part.oid <> 0
)
select t.oid,
       t.typbasetype,
       case when t.typcategory = 'A' and t.typtype = 'b' then t.typelem else 0 end,
       coalesce(e.typdelim, ',')::text
  from needed
  join pg_catalog.pg_type t on t.oid = needed.oid
  left join pg_catalog.pg_type e on e.oid = t.typelem
