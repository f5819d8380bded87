-- What people know of the columns of the relations $1: what the publication $2 leaves out is left out here,
-- and so are generated columns, unless it says that it sends them.
select a.attrelid,
       a.attname::text,
       a.atttypid,
       a.atttypmod,
       a.attndims::integer,
       -- From 18 on a constraint may not hold for older rows.
       a.attnotnull and not exists (select from pg_catalog.pg_constraint k
                                     where k.conrelid = a.attrelid and k.contype = 'n' and not k.convalidated
                                       and a.attnum = any (k.conkey)),
       a.attstorage::text <> 'p',
       pg_catalog.format_type(a.atttypid, a.atttypmod),
       pg_catalog.col_description(a.attrelid, a.attnum),
       pg_catalog.obj_description(a.attrelid, 'pg_class')
  from pg_catalog.pg_attribute a
 where a.attrelid = any ($1::oid[])
   and a.attnum > 0
   and not a.attisdropped
   and (a.attgenerated = '' or a.attgenerated = 's'
        and exists (select from pg_catalog.pg_publication p
                     where p.pubname = $2::text and to_jsonb(p) ->> 'pubgencols' = 's'))
   -- Column lists came with 15.
   and not exists (select from pg_catalog.pg_publication_rel r
                     join pg_catalog.pg_publication p on p.oid = r.prpubid
                    where r.prrelid = a.attrelid and p.pubname = $2::text
                      and jsonb_typeof(to_jsonb(r) -> 'prattrs') = 'array'
                      and not to_jsonb(r) -> 'prattrs' @> to_jsonb(a.attnum::integer))
 order by a.attrelid, a.attnum
