-- Delivery: attempts, replays, and what subscriptions say of themselves.

-- Subscriptions.
comment on table rowhook.subscriptions is 'One row for each webhook that was ever served: how far it is, and whether it runs.';
alter table rowhook.subscriptions
  add column start_after      bigint,
  add column breaker_since    timestamptz,
  add column breaker_reason   text,
  add column breaker_probe_at timestamptz;
comment on column rowhook.subscriptions.start_after is
  'Where it began: it was never offered an event up to this one. Null where nobody noted it.';
comment on column rowhook.subscriptions.breaker_since is
  'Since when its endpoint counts as down; null while it does not. Written by the daemon that serves it.';
comment on column rowhook.subscriptions.breaker_reason is 'What the last attempt said before that was written.';
comment on column rowhook.subscriptions.breaker_probe_at is 'When the next probe goes out.';

-- Requests of operators. They alone write them; the daemon alone takes them away, together with what it did.
alter table rowhook.deliveries
  add column request      text check (request in ('retry', 'discard')),
  add column requested_at timestamptz;
create index deliveries_requested on rowhook.deliveries (subscription, sequence_id) where request is not null;
comment on column rowhook.deliveries.request is 'What an operator wants done with it, until the daemon has done it.';
alter table rowhook.subscriptions add column ordering text;
comment on column rowhook.subscriptions.ordering is
  'By what the lanes of its waiting deliveries were made: order and order_by of its settings.';

-- Attempts.
create table rowhook.attempts (
  at           timestamptz not null,
  subscription text not null,
  sequence_id  bigint not null,
  event_id     uuid not null,
  attempt      integer not null,
  status       integer,
  outcome      text not null,
  duration_us  bigint not null,
  error        text,
  answer       text,
  replay       bigint
) partition by range (at);
create index attempts_by_event on rowhook.attempts (sequence_id, subscription, at);
comment on table rowhook.attempts is 'One row for each HTTP request and what came of it. Append-only; one partition for each day in UTC.';
comment on column rowhook.attempts.at is 'When the attempt ended.';
comment on column rowhook.attempts.outcome is
  'delivered, refused, dns, connect, tls, timeout, broken, not_rendered; discarded by an operator, without a request.';
comment on column rowhook.attempts.error is 'Why no answer came, in the words of what failed.';
comment on column rowhook.attempts.answer is 'How a refusal''s body begins: at most 512 bytes, printable, without secrets.';
comment on column rowhook.attempts.replay is 'The replay that it was a part of.';

-- Makes sure that there are partitions for these days. A table is made and then attached, which locks
-- out neither readers nor writers.
create function rowhook.add_attempt_days(p_first date, p_last date)
returns void language plpgsql set search_path = pg_catalog set timezone = 'UTC' as $$
declare
  v_day  date := p_first;
  v_name text;
begin
  perform pg_advisory_xact_lock(hashtext('rowhook.attempts'));
  while v_day <= p_last loop
    v_name := 'attempts_' || to_char(v_day, 'YYYYMMDD');
    if not exists (select from pg_inherits
                    where inhparent = 'rowhook.attempts'::regclass
                      and inhrelid = to_regclass('rowhook.' || v_name)) then
      execute format('create table if not exists rowhook.%I (like rowhook.attempts including defaults including comments)', v_name);
      execute format('alter table rowhook.attempts attach partition rowhook.%I for values from (%L) to (%L)',
                     v_name, v_day::timestamptz, (v_day + 1)::timestamptz);
    end if;
    v_day := v_day + 1;
  end loop;
end $$;

-- Replays.
