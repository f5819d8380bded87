-- Statements that set the replica identity of the partitions of $1 that hold rows.
select format('alter table %s replica identity full', relid::regclass)
  from pg_catalog.pg_partition_tree($1::oid::regclass)
 where isleaf and relid <> $1::oid::regclass
