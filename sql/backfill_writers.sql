-- Transactions that hold a lock for writing on relation $1 or a partition of it, with the process
-- (0: a prepared transaction).
select distinct l.virtualtransaction, coalesce(l.pid, 0)
  from pg_catalog.pg_locks l
 where l.locktype = 'relation' and l.granted
   and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
   and (l.relation = $1::oid or l.relation in (select relid from pg_catalog.pg_partition_tree($1::oid)))
   and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
   and l.pid is distinct from pg_catalog.pg_backend_pid()
