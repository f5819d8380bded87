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
                where p.pubname = $3::text and p.schemaname = n.nspname and p.tablename = c.relname),
       -- Row filters and column lists came with 15.
       exists (select from pg_catalog.pg_publication_rel r, pg_catalog.pg_publication p
                where p.pubname = $3::text and r.prpubid = p.oid and r.prrelid = c.oid
                  and (pg_catalog.to_jsonb(r) ->> 'prqual' is not null or pg_catalog.to_jsonb(r) ->> 'prattrs' is not null))
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join lateral (
         select array_agg(a.attname::text order by u.position) as names,
                array_agg(pg_catalog.format_type(base.oid, -1) order by u.position) as types,
                array_agg(distinct pg_catalog.quote_ident(s.nspname)) as schemas
           from pg_catalog.pg_index i,
                unnest(i.indkey::int2[], i.indclass::oid[]) with ordinality u (attnum, class, position),
                pg_catalog.pg_attribute a, pg_catalog.pg_opclass o, pg_catalog.pg_namespace s, pg_catalog.pg_type base
          where i.indrelid = c.oid and i.indisprimary and u.position <= i.indnkeyatts
            and a.attrelid = c.oid and a.attnum = u.attnum
            and o.oid = u.class and s.oid = o.opcnamespace
            -- A domain's own checks are code of the table's owner.
            and base.oid = (with recursive up (oid, base) as (
                              select t.oid, t.typbasetype from pg_catalog.pg_type t where t.oid = a.atttypid
                              union all
                              select t.oid, t.typbasetype from up join pg_catalog.pg_type t on t.oid = up.base)
                            select up.oid from up where up.base = 0)) k on true
 where n.nspname = $1::text and c.relname = $2::text and c.relkind in ('r', 'p')
