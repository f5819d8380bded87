-- Partitions of the tables $1 that hold rows and whose old rows are not carried whole: name, the
-- statement that mends it, and whether our role may run it. A new partition does not take the replica
-- identity of its root.
select n.nspname || '.' || c.relname,
       format('alter table %I.%I replica identity full', n.nspname, c.relname),
       pg_catalog.pg_has_role(c.relowner, 'usage')
  from unnest($1::oid[]) root (oid),
       lateral pg_catalog.pg_partition_tree(root.oid) part
  join pg_catalog.pg_class c on c.oid = part.relid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.oid <> root.oid and c.relreplident <> 'f'
 order by 1
