-- The event log. Applied once, in one transaction, by `rowhook setup`; never edited once released.

create table rowhook.schema_version (
  version    integer primary key,
  applied_at timestamptz not null default now()
);
comment on table rowhook.schema_version is 'Migrations that were applied to this schema.';

-- How far the source has been logged. One row. Whoever writes the log holds its epoch.
create table rowhook.checkpoint (
  only_row          boolean primary key default true check (only_row),
  system_identifier text not null,
  timeline          bigint not null,
  database          text not null,
  slot              text not null,
  epoch             bigint not null default 0,
  commit_lsn        pg_lsn not null,
  acknowledged_lsn  pg_lsn not null,
  next_sequence_id  bigint not null default 1,
  committed_at      timestamptz,
  updated_at        timestamptz not null default now()
);
comment on column rowhook.checkpoint.commit_lsn is
  'Commit record of the last transaction in the log: it and everything before it are logged.';
comment on column rowhook.checkpoint.acknowledged_lsn is
  'The farthest position that the slot may have been told; a slot beyond it was moved by someone else.';
comment on column rowhook.checkpoint.committed_at is
  'Commit time of the last transaction in the log.';

create table rowhook.events (
  sequence_id  bigint not null primary key,
  event_id     uuid not null,
  event_type   text not null,
  resource     text not null,
  resource_id  text,
  action       text not null,
  created_at   timestamptz not null,
  record       json,
  previous     json,
  context      json,
  old_row      text not null,
  unknown      text[],
  table_schema text not null,
  table_name   text not null,
  xid          bigint not null,
  commit_lsn   pg_lsn not null,
  commit_index bigint not null
) partition by range (sequence_id);
-- Compared as bytes: what a locale would make of texts costs more than all the rest of an index, and
-- any equality finds them all the same. Of every segment from its beginning, for capture itself looks for the
-- last event of a row; what only readers ask for, a segment gets later (rowhook.index_segment).
create index events_by_resource on rowhook.events
  (resource text_pattern_ops, resource_id text_pattern_ops, sequence_id);
comment on table rowhook.events is 'The event log: append-only, dense and in commit order by sequence_id.';
comment on column rowhook.events.created_at is 'Commit time of the source transaction.';
comment on column rowhook.events.record is 'The row after the change; for a delete, the row that was deleted.';
comment on column rowhook.events.previous is 'Old values of the fields that changed; null where not known.';
comment on column rowhook.events.old_row is 'How much of the old row is known: absent, key or full.';
comment on column rowhook.events.unknown is 'Columns that the stream did not carry; they are missing from record.';

create table rowhook.segments (
  first_id   bigint primary key,
  end_id     bigint not null unique check (end_id > first_id),
  table_name text not null unique,
  indexed    boolean not null default false
);
comment on table rowhook.segments is 'Partitions of rowhook.events: first_id <= sequence_id < end_id.';
comment on column rowhook.segments.indexed is
  'Whether event_id and event_type have their indexes: a log that catches up adds them afterwards.';

create table rowhook.subscriptions (
  name       text primary key,
  cursor     bigint not null,
  state      text not null default 'active' check (state in ('active', 'paused')),
  since      timestamptz not null default now(),
  reason     text,
  updated_at timestamptz not null default now()
);
comment on column rowhook.subscriptions.cursor is
  'Every event up to it is settled: delivered, parked, dead, or not wanted.';

create table rowhook.deliveries (
  subscription text not null references rowhook.subscriptions (name) on delete cascade,
  sequence_id  bigint not null,
  event_id     uuid not null,
  lane         text not null,
  state        text not null check (state in ('waiting', 'dead')),
  attempts     integer not null,
  due_at       timestamptz,
  reason       text,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  primary key (subscription, sequence_id)
);
create index deliveries_by_state on rowhook.deliveries (state, subscription, sequence_id);
comment on table rowhook.deliveries is
  'Deliveries that failed and wait for a retry or behind one in their lane, and dead ones. No others.';

-- Moves the checkpoint in the transaction that appends what it covers. A writer whose epoch has
-- passed gets RH001, which aborts that transaction.
create function rowhook.advance_checkpoint(
  p_epoch bigint, p_commit_lsn pg_lsn, p_acknowledged_lsn pg_lsn, p_next_sequence_id bigint, p_committed_at timestamptz
) returns void language plpgsql set search_path = pg_catalog as $$
begin
  update rowhook.checkpoint
     set commit_lsn = greatest(commit_lsn, p_commit_lsn),
         acknowledged_lsn = greatest(acknowledged_lsn, p_acknowledged_lsn),
         next_sequence_id = greatest(next_sequence_id, p_next_sequence_id),
         committed_at = coalesce(p_committed_at, committed_at),
         updated_at = now()
   where epoch = p_epoch;
  if not found then
    raise exception 'another rowhook instance has taken over this log (its epoch is newer than %)', p_epoch
      using errcode = 'RH001';
  end if;
end $$;

-- Adds segments until there is room for p_end_id, and returns where the last one ends. A table is
-- made and then attached, which locks out neither the writer nor readers.
create function rowhook.add_segments(p_end_id bigint, p_size bigint)
returns bigint language plpgsql set search_path = pg_catalog as $$
declare
  v_first bigint := coalesce((select max(end_id) from rowhook.segments),
                             (select next_sequence_id from rowhook.checkpoint), 1);
  v_name  text;
begin
  while v_first < p_end_id loop
    v_name := 'events_' || lpad(v_first::text, 12, '0');
    execute format('create table rowhook.%I (like rowhook.events including defaults including comments)', v_name);
    execute format('alter table rowhook.events attach partition rowhook.%I for values from (%s) to (%s)',
                   v_name, v_first, v_first + p_size);
    insert into rowhook.segments (first_id, end_id, table_name) values (v_first, v_first + p_size, v_name);
    v_first := v_first + p_size;
  end loop;
  return v_first;
end $$;

-- Adds the indexes that a segment is written without while the log catches up: two trees that are built at
-- once cost less than two that grow row by row, and nobody waits for them. Nothing is appended to it meanwhile.
-- p_patience: how long a lock in the way is waited for; the writer queues up behind.
create function rowhook.index_segment(p_table_name text, p_patience interval)
returns void language plpgsql set search_path = pg_catalog set max_parallel_maintenance_workers = 0 as $$
begin
  perform set_config('lock_timeout', (extract(epoch from p_patience) * 1000)::integer::text, true);
  execute format('create index if not exists %I on rowhook.%I (event_id)', p_table_name || '_by_id', p_table_name);
  execute format('create index if not exists %I on rowhook.%I (event_type text_pattern_ops, sequence_id)',
                 p_table_name || '_by_type', p_table_name);
  update rowhook.segments set indexed = true where table_name = p_table_name;
end $$;

-- The log with old, new and changes, as applications read it.
create view rowhook.event_feed as
select e.sequence_id, e.event_id, e.event_type, e.resource, e.resource_id, e.action, e.created_at,
       case
         when e.action = 'deleted' then e.record
         when e.action = 'updated' and e.old_row = 'full' then
           (select coalesce(json_object_agg(r.key, coalesce(p.value, r.value) order by r.position), '{}')
              from json_each(e.record) with ordinality r (key, value, position)
              left join json_each(e.previous) p on p.key = r.key)
       end as old,
       case when e.action <> 'deleted' then e.record end as new,
       case
         when e.action = 'created' then
           json_build_object('added', (select coalesce(json_agg(k), '[]') from json_object_keys(e.record) k),
                             'updated', '[]'::json, 'removed', '[]'::json)
         when e.action = 'deleted' then
           json_build_object('added', '[]'::json, 'updated', '[]'::json,
                             'removed', (select coalesce(json_agg(k), '[]') from json_object_keys(e.record) k))
         when e.action = 'updated' and e.old_row = 'full' then
           json_build_object('added', '[]'::json,
                             'updated', (select coalesce(json_agg(k), '[]') from json_object_keys(e.previous) k),
                             'removed', '[]'::json)
       end as changes,
       e.previous, e.context, e.old_row, e.unknown, e.table_schema, e.table_name, e.xid, e.commit_lsn, e.commit_index
  from rowhook.events e;
comment on view rowhook.event_feed is
  'The event log as old, new and changes. old and changes of an update are null where the old row is not known.';
