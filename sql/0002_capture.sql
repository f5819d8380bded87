-- Values that had to stay text, keys of relations as they were, resources whose old rows are in the
-- log, and backfills.

alter table rowhook.events add column as_text text[];
comment on column rowhook.events.as_text is
  'Columns whose value stands in record or previous as text, because it could not be read as its type.';

-- A json value may hold escapes that its database has no text for: \u0000, halves of surrogate pairs,
-- characters that its encoding lacks. Postgres refuses to take such an object apart. This writes all
-- escapes of both objects otherwise, if there are such; rowhook.as_written turns them back.
create function rowhook.separable(p_object json, p_beside json) returns json
language sql immutable parallel safe set search_path = pg_catalog as $$
  select case
    when position('\u' in p_object::text) = 0 and position('\u' in coalesce(p_beside::text, '')) = 0 then p_object
    else regexp_replace(replace(p_object::text, '\\', '\u001arowhook:back;'),
                        '\\u(?!001arowhook:)([0-9a-fA-F]{4})', '\\u001arowhook:\1;', 'g')::json
  end
$$;
create function rowhook.as_written(p_object json) returns json
language sql immutable parallel safe set search_path = pg_catalog as $$
  select case
    when position('\u001arowhook:' in p_object::text) = 0 then p_object
    else replace(regexp_replace(p_object::text, '\\u001arowhook:([0-9a-fA-F]{4});', '\\u\1', 'g'),
                 '\u001arowhook:back;', '\\')::json
  end
$$;

create function rowhook.keys(p_object json) returns json
language sql immutable parallel safe set search_path = pg_catalog as $$
  select rowhook.as_written(coalesce(json_agg(k), '[]'))
    from json_object_keys(rowhook.separable(p_object, null)) k
$$;

create or replace view rowhook.event_feed as
select e.sequence_id, e.event_id, e.event_type, e.resource, e.resource_id, e.action, e.created_at,
       case
         when e.action = 'deleted' then e.record
         when e.action = 'updated' and e.old_row = 'full' then
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
         when e.action = 'updated' and e.old_row = 'full' then
           json_build_object('added', '[]'::json, 'updated', rowhook.keys(e.previous), 'removed', '[]'::json)
       end as changes,
       e.previous, e.context, e.old_row, e.unknown, e.table_schema, e.table_name, e.xid, e.commit_lsn, e.commit_index,
       e.as_text
  from rowhook.events e;

create table rowhook.publication (
  only_row  boolean primary key default true check (only_row),
  oid       oid not null,
  version   text not null,
  owner     oid not null,
  noted_at  timestamptz not null default now()
);
comment on table rowhook.publication is
  'The publication as it was when rowhook last looked: one that was altered since may have left changes out.';
comment on column rowhook.publication.version is 'xmin of its row in pg_publication.';

create table rowhook.published (
  relation   oid primary key,
  membership oid not null,
  table_name text not null
);
comment on table rowhook.published is
  'Tables in the publication, each with its entry in pg_publication_rel: another entry means that changes may be missing.';

create table rowhook.relation_keys (
  relation oid not null,
  key      text[] not null,
  noted_at timestamptz not null default now(),
  primary key (relation, key)
);
comment on table rowhook.relation_keys is
  'Primary keys that captured relations have had: rows from before a change are read by the key of their time.';

create table rowhook.histories (
  table_schema text not null,
  table_name   text not null,
  membership   oid not null,
  since        bigint not null,
  trusted_from pg_lsn not null,
  primary key (table_schema, table_name)
);
comment on table rowhook.histories is
  'Tables with previous = "log": all their changes from sequence id since and position trusted_from on are in the log.';
comment on column rowhook.histories.membership is
  'Which entry of the publication that held for; another one means that changes may be missing between.';

create table rowhook.backfills (
  backfill_id     bigint generated always as identity,
  table_schema    text not null,
  table_name      text not null,
  state           text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
  chunk_rows      integer not null check (chunk_rows > 0),
  rows_per_second integer check (rows_per_second > 0),
  last_key        text[],
  rows_logged     bigint not null default 0,
  rows_expected   bigint,
  reason          text,
  requested_at    timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  primary key (table_schema, table_name)
);
comment on table rowhook.backfills is 'Backfills that were asked for, and how far they are.';
comment on column rowhook.backfills.last_key is 'Every row up to this primary key is in the log.';
