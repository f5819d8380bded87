-- From where on the log's history of relation $2 holds: a fingerprint of everything that, changed,
-- would make an earlier event of a row another row or another value. $1 publication, $3 how rowhook
-- names and reads the relation. No row where the publication has no entry of its own for the whole
-- relation, or where its rows are in partitions: those come and go without a trace in the stream.
-- Also the same of each column; and where the WAL ends now: whatever made it so stands before it.
select pg_catalog.hashtextextended(
         pg_catalog.concat_ws('|', $3::text, p.oid, c.oid, m.entry,
           -- Renames and moves to another schema change the row type's entry, and grants do not.
           (select t.xmin from pg_catalog.pg_type t where t.oid = c.reltype),
           -- FOR ALL TABLES lets a table be unlogged for a while, which makes it a new file.
           case when p.puballtables then c.relfilenode end,
           (select i.indkey from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary)), 0),
       array(select pg_catalog.concat_ws(',', a.attnum, a.xmin, a.atttypid, e.newest, k.newest)
               from pg_catalog.pg_attribute a
               join pg_catalog.pg_type t on t.oid = a.atttypid
               left join lateral (select max(e.xmin::text::bigint) as newest from pg_catalog.pg_enum e
                                   where e.enumtypid in (t.oid, t.typelem, t.typbasetype)) e on true
               left join lateral (select max(f.xmin::text::bigint) as newest from pg_catalog.pg_attribute f
                                   where t.typrelid <> 0 and f.attrelid = t.typrelid) k on true
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              order by a.attnum),
       pg_catalog.pg_current_wal_insert_lsn()
  from pg_catalog.pg_class c, pg_catalog.pg_publication p,
       lateral (select r.oid as entry from pg_catalog.pg_publication_rel r
                 where r.prpubid = p.oid and r.prrelid = c.oid
                   -- Row filters and column lists came with 15.
                   and pg_catalog.to_jsonb(r) ->> 'prqual' is null and pg_catalog.to_jsonb(r) ->> 'prattrs' is null
                union all
                select 0 where p.puballtables) m
 where p.pubname = $1::text and c.oid = $2::oid and c.relkind = 'r' and not c.relispartition
