-- What identifies rows of relation $1: the primary key's columns in the key's order, the transaction
-- that made it (null where its id has come round), whether rows are in partitions, the columns by
-- which any of its partitions may identify rows, and those that were added with a default which older
-- rows do not hold: before 15 the server forgets it where a partition's row becomes its root's.
select coalesce(k.names, '{}'),
       k.made_by,
       c.relkind = 'p',
       coalesce((select array_agg(distinct a.attname::text)
                   from pg_catalog.pg_partition_tree(c.oid) t
                   join pg_catalog.pg_index i on i.indrelid = t.relid and (i.indisprimary or i.indisreplident)
                   join pg_catalog.pg_attribute a on a.attrelid = t.relid and a.attnum = any (i.indkey::int2[])
                  where c.relkind = 'p'), '{}'),
       coalesce((select array_agg(distinct a.attname::text)
                   from pg_catalog.pg_partition_tree(c.oid) t
                   join pg_catalog.pg_attribute a on a.attrelid = t.relid and a.atthasmissing
                  where c.relkind = 'p' and current_setting('server_version_num')::integer < 150000), '{}')
  from pg_catalog.pg_class c
  left join lateral (
       select array_agg(a.attname::text order by k.position) as names,
              max(i.xmin::text::bigint) filter (where pg_catalog.age(i.xmin) >= 0) as made_by
         from pg_catalog.pg_index i,
              unnest(i.indkey::int2[]) with ordinality k (attnum, position),
              pg_catalog.pg_attribute a
        where i.indrelid = c.oid and i.indisprimary
          and a.attrelid = i.indrelid and a.attnum = k.attnum
       ) k on true
 where c.oid = $1::oid
