-- The open transaction that began first among those that write: the source's WAL is needed from where
-- it began. Its id, server process, role, seconds since it began, and name if it is prepared.
select xid::text, pid, role, seconds, name
  from (select a.backend_xid as xid, a.pid, a.usename::text as role,
               extract(epoch from now() - a.xact_start)::float8 as seconds, null::text as name
          from pg_catalog.pg_stat_activity a
         where a.backend_xid is not null
        union all
        select p.transaction, null, p.owner::text, extract(epoch from now() - p.prepared)::float8, p.gid
          from pg_catalog.pg_prepared_xacts p) open
 order by pg_catalog.age(xid) desc
 limit 1
