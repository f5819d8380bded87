-- Which entry of publication $1 publishes relation $2 (0: none that has an identity of its own), and
-- where the WAL ends now: whatever made that entry stands before it.
select coalesce((select r.oid from pg_catalog.pg_publication_rel r where r.prpubid = p.oid and r.prrelid = $2::oid),
                case when p.puballtables then p.oid else 0 end),
       pg_catalog.pg_current_wal_insert_lsn()
  from pg_catalog.pg_publication p
 where p.pubname = $1::text
