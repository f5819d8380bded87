-- Partitions of the attempt log whose day is over for longer than $1 seconds, oldest first, and how far
-- their detaching is: attached, pending, detached.
select c.relname::text,
       case when i.inhrelid is null then 'detached' when i.inhdetachpending then 'pending' else 'attached' end
  from pg_catalog.pg_class c
  left join pg_catalog.pg_inherits i on i.inhrelid = c.oid and i.inhparent = 'rowhook.attempts'::regclass
 where c.relnamespace = 'rowhook'::regnamespace and c.relkind = 'r' and c.relname ~ '^attempts_[0-9]{8}$'
   and (to_date(substr(c.relname, 10), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
       < now() - make_interval(secs => $1::bigint)
 order by c.relname
