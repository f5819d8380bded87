-- Segments that may go, oldest first, how far their detaching is (attached, pending, detached), and
-- their last sequence id.
-- $1: age in seconds; $2: subscriptions whose cursors hold them back; $3: for how many seconds more,
-- null for ever.
select s.table_name,
       coalesce((select case when i.inhdetachpending then 'pending' else 'attached' end
                   from pg_catalog.pg_inherits i
                  where i.inhparent = 'rowhook.events'::regclass
                    and i.inhrelid = pg_catalog.to_regclass('rowhook.' || pg_catalog.quote_ident(s.table_name))),
                'detached'),
       s.end_id - 1
  from rowhook.segments s, rowhook.checkpoint c
 where s.end_id <= c.next_sequence_id
   and not exists (select from rowhook.events e
                    where e.sequence_id = s.end_id - 1
                      and e.created_at >= now() - make_interval(secs => $1::bigint))
   and (not exists (select from rowhook.subscriptions u
                     where u.name = any ($2::text[]) and u.cursor < s.end_id - 1)
        and not exists (select from rowhook.deliveries d
                         where d.subscription = any ($2::text[]) and d.state = 'waiting'
                           and d.sequence_id < s.end_id)
        or $3::bigint is not null
        and not exists (select from rowhook.events e
                         where e.sequence_id = s.end_id - 1
                           and e.created_at >= now() - make_interval(secs => $1::bigint + $3::bigint)))
 order by s.first_id
