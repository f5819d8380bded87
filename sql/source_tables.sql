-- Every relation that could be taken for a table. $1: the publication's name.
select c.oid,
       n.nspname::text,
       c.relname::text,
       c.relkind::text,
       c.relpersistence::text,
       c.relreplident::text,
       c.relispartition,
       coalesce((select array_agg(a.attname::text order by k.position)
                   from pg_catalog.pg_index i,
                        unnest(i.indkey::int2[]) with ordinality k (attnum, position),
                        pg_catalog.pg_attribute a
                  where i.indrelid = c.oid and i.indisprimary
                    and a.attrelid = c.oid and a.attnum = k.attnum), '{}'),
       coalesce((select array_agg(a.attname::text order by k.position)
                   from pg_catalog.pg_index i,
                        unnest(i.indkey::int2[]) with ordinality k (attnum, position),
                        pg_catalog.pg_attribute a
                  where i.indrelid = c.oid and i.indisreplident
                    and a.attrelid = c.oid and a.attnum = k.attnum), '{}'),
       coalesce((select array_agg(a.attname::text order by a.attnum)
                   from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '{}'),
       exists (select from pg_catalog.pg_publication_rel r, pg_catalog.pg_publication p
                where r.prrelid = c.oid and p.oid = r.prpubid and p.pubname = $1::text),
       pg_catalog.pg_has_role(c.relowner, 'usage'),
       coalesce((select array_agg(part.relid::regclass::text order by part.relid::regclass::text)
                   from pg_catalog.pg_partition_tree(c.oid) part
                   join pg_catalog.pg_class leaf on leaf.oid = part.relid
                  where c.relkind = 'p' and (leaf.relkind = 'f' or leaf.relkind = 'r' and leaf.relpersistence <> 'p')),
                '{}'),
       (select r.oid from pg_catalog.pg_publication_rel r, pg_catalog.pg_publication p
         where r.prrelid = c.oid and p.oid = r.prpubid and p.pubname = $1::text),
       -- Row filters and column lists came with 15.
       coalesce((select to_jsonb(r) ->> 'prqual' is not null or to_jsonb(r) ->> 'prattrs' is not null
                   from pg_catalog.pg_publication_rel r, pg_catalog.pg_publication p
                  where r.prrelid = c.oid and p.oid = r.prpubid and p.pubname = $1::text), false)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'f')
   and n.nspname not in ('pg_catalog', 'information_schema', 'rowhook')
   and n.nspname !~ '^pg_toast'
 order by n.nspname, c.relname
