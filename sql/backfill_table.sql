-- What a backfill has to know of table $1.$2. $3: the publication.
select c.oid,
       c.relkind::text,
       case when n.nspname = 'pg_catalog' then '' else n.nspname end::text,
       coalesce((select array_agg(a.attname::text order by a.attnum)
                   from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), '{}'),
       coalesce((select array_agg(a.atttypid order by a.attnum)
                   from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''), '{}'),
       coalesce(k.names, '{}'),
       coalesce(k.types, '{}'),
       coalesce(k.schemas, '{}'),
       (select sum(greatest(l.reltuples, 0))::bigint
          from pg_catalog.pg_class l
         where l.oid = c.oid or (c.relkind = 'p' and l.oid in (select relid from pg_catalog.pg_partition_tree(c.oid)))),
       exists (select from pg_catalog.pg_publication_tables p
                where p.pubname = $3::text and p.schemaname = n.nspname and p.tablename = c.relname)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join lateral (
         select array_agg(a.attname::text order by u.position) as names,
                array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) order by u.position) as types,
                array_agg(distinct pg_catalog.quote_ident(s.nspname)) as schemas
           from pg_catalog.pg_index i,
                unnest(i.indkey::int2[], i.indclass::oid[]) with ordinality u (attnum, class, position),
                pg_catalog.pg_attribute a, pg_catalog.pg_opclass o, pg_catalog.pg_namespace s
          where i.indrelid = c.oid and i.indisprimary and u.position <= i.indnkeyatts
            and a.attrelid = c.oid and a.attnum = u.attnum
            and o.oid = u.class and s.oid = o.opcnamespace) k on true
 where n.nspname = $1::text and c.relname = $2::text and c.relkind in ('r', 'p')
