-- The log as a product: events of the application, whose they are, and what they are about.

alter table rowhook.events
  add column data    json,
  add column tenant  text,
  add column related json;
comment on column rowhook.events.data is 'What the application says with an event of its own.';
comment on column rowhook.events.tenant is 'Whose it is, where the settings of the resource name a column.';
comment on column rowhook.events.related is 'Ids of the rows that its foreign keys name, as {"authorId": "7"}.';

create or replace view rowhook.event_feed as
select e.sequence_id, e.event_id, e.event_type, e.resource, e.resource_id, e.action, e.created_at,
       case
         when e.action = 'deleted' and e.previous is null then e.record
         when e.action in ('updated', 'restored', 'changed', 'deleted') and e.old_row = 'full' then
           (select rowhook.as_written(coalesce(json_object_agg(r.key, coalesce(p.value, r.value) order by r.position), '{}'))
              from json_each(rowhook.separable(e.record, e.previous)) with ordinality r (key, value, position)
              left join json_each(rowhook.separable(e.previous, e.record)) p on p.key = r.key)
       end as old,
       case when e.action <> 'deleted' then e.record end as new,
       case
         when e.action in ('created', 'snapshot') then
           json_build_object('added', rowhook.keys(e.record), 'updated', '[]'::json, 'removed', '[]'::json)
         when e.action = 'deleted' then
           json_build_object('added', '[]'::json, 'updated', '[]'::json, 'removed', rowhook.keys(e.record))
         when e.action in ('updated', 'restored', 'changed') and e.old_row = 'full' then
           json_build_object('added', '[]'::json, 'updated', rowhook.keys(e.previous), 'removed', '[]'::json)
       end as changes,
       e.previous, e.context, e.old_row, e.unknown, e.table_schema, e.table_name, e.xid, e.commit_lsn, e.commit_index,
       e.as_text, e.data, e.tenant, e.related
  from rowhook.events e;

-- Events that do not come through the source's stream: by HTTP and by command. The daemon logs what is
-- due, and notes that in the transaction that logs it.
create table rowhook.scheduled_events (
  event_id        uuid primary key,
  request         bigint not null generated always as identity,
  idempotency_key text unique,
  fingerprint     bytea not null,
  event_type      text not null,
  data            json,
  resource        text not null,
  resource_id     text,
  context         json,
  due_at          timestamptz not null,
  requested_at    timestamptz not null default clock_timestamp(),
  claimed_at      timestamptz,
  cancelled_at    timestamptz,
  logged_at       timestamptz,
  sequence_id     bigint
);
create index scheduled_events_due on rowhook.scheduled_events (due_at, request)
  where logged_at is null and cancelled_at is null;
create index scheduled_events_over on rowhook.scheduled_events ((coalesce(logged_at, cancelled_at)))
  where logged_at is not null or cancelled_at is not null;
comment on table rowhook.scheduled_events is
  'Events that were asked for by HTTP or by command: those that are not logged yet, and for a day those that are.';
comment on column rowhook.scheduled_events.request is 'Of events that are due at the same time, the first request goes first.';
comment on column rowhook.scheduled_events.fingerprint is 'Hash of what was asked for: tells a repeated request from another one.';
comment on column rowhook.scheduled_events.claimed_at is 'Since when the daemon has it in hand: it cannot be cancelled any more.';
comment on column rowhook.scheduled_events.sequence_id is 'Where it is in the log.';

-- Asks for an event. A key that was used within a day stands for the event that it was used for first.
create function rowhook.request_event(
  p_event_id uuid, p_key text, p_fingerprint bytea, p_type text, p_data json, p_resource text, p_resource_id text,
  p_context json, p_at timestamptz, p_delay interval,
  out event_id uuid, out due_at timestamptz, out is_new boolean, out is_same boolean
) language plpgsql set search_path = pg_catalog as $$
begin
  -- Whoever is told that it is accepted relies on it.
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  update rowhook.scheduled_events s set idempotency_key = null
   where s.idempotency_key = p_key and s.requested_at < clock_timestamp() - interval '24 hours';
  loop
    insert into rowhook.scheduled_events as s
           (event_id, idempotency_key, fingerprint, event_type, data, resource, resource_id, context, due_at)
    values (p_event_id, p_key, p_fingerprint, p_type, p_data, p_resource, p_resource_id, p_context,
            coalesce(p_at, clock_timestamp()) + p_delay)
        on conflict (idempotency_key) do nothing
    returning s.event_id, s.due_at, true, true into event_id, due_at, is_new, is_same;
    exit when found;
    -- Whoever holds the key has committed. If the row is gone by now, the key is free.
    select s.event_id, s.due_at, false, s.fingerprint = p_fingerprint
      into event_id, due_at, is_new, is_same
      from rowhook.scheduled_events s where s.idempotency_key = p_key;
    exit when found;
  end loop;
end $$;
