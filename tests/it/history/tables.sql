-- The truth: what triggers saw, in the transactions that did it.
create schema audit;
create table audit.changes (
  seq      bigserial primary key,
  xid      bigint not null default txid_current(),
  writer   text not null default current_setting('application_name'),
  tab      text not null,
  op       text not null,
  identity "char" not null,
  told_as  "char" not null,
  old      jsonb,
  new      jsonb
);
create index on audit.changes (xid);
comment on column audit.changes.identity is 'Decides how much of an old row is in the WAL.';
comment on column audit.changes.told_as is
  'The identity of what is published: for a partition that of its root, by which the stream marks old rows.';

-- Changes of columns, in the order of the changes of rows.
create table audit.columns (
  seq      bigint not null default nextval('audit.changes_seq_seq'),
  tab      text not null,
  retyped  text
);
-- Rows that were there before anything was captured.
create table audit.before (tab text not null, old jsonb not null);

-- The argument is the name under which changes of a partition are published.
create function audit.note() returns trigger language plpgsql as $$
begin
  insert into audit.changes (tab, op, identity, told_as, old, new) values (
    coalesce(tg_argv[0], tg_table_name),
    case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'updated' when 'DELETE' then 'deleted'
               else 'truncated' end,
    (select relreplident from pg_class where oid = tg_relid),
    (select relreplident from pg_class where oid = coalesce(to_regclass('public.' || tg_argv[0]), tg_relid)),
    case when tg_op in ('UPDATE', 'DELETE') then to_jsonb(old) end,
    case when tg_op in ('INSERT', 'UPDATE') then to_jsonb(new) end);
  return null;
end $$;

-- The triggers' names sort before those of foreign keys, so that a parent's delete is noted before
-- the deletes of its children, as it happens.
create function audit.watch(t regclass, variadic names text[] default '{}') returns void language plpgsql as $$
declare
  argument text := coalesce(quote_literal(names[1]), '');
begin
  execute format('create trigger "A_rows" after insert or update or delete on %s
                  for each row execute function audit.note(%s)', t, argument);
  execute format('create trigger "A_truncate" after truncate on %s
                  for each statement execute function audit.note(%s)', t, argument);
end $$;

-- Text that does not compress.
create function audit.noise(seed bigint, length bigint) returns text language sql immutable as $$
  select left(string_agg(md5(seed::text || ' ' || i), ''), length::int) from generate_series(0, length / 32) i
$$;

-- Columns whose names begin with x come and go; dice decide how. Does nothing where nothing fits.
create function audit.change_columns(t regclass, dice bigint) returns void language plpgsql as $$
declare
  names text[] := array(select attname::text from pg_attribute
                         where attrelid = t and attnum > 0 and not attisdropped and attname ~ '^x'
                         order by attnum);
  one   text := names[1 + dice % greatest(cardinality(names), 1)];
  retyped text;
  -- PostgreSQL 14 loses defaults of older rows where a partition's row becomes its root's.
  plain   int := case when t = 'parted'::regclass and current_setting('server_version_num')::int < 150000 then 2 end;
  now_text boolean := (select atttypid = 'text'::regtype from pg_attribute where attrelid = t and attname = one);
begin
  case
    when dice / 16 % 4 = 0 and cardinality(names) < 4 then
      execute format('alter table %s add column %I %s', t, 'x' || dice,
                     (array['int default 7', 'text', 'numeric(8,2) default 1.50', 'text default ''käse'''])[coalesce(plain, 1 + dice / 64 % 4)]);
    when one is null then return;
    when dice / 16 % 4 = 1 then execute format('alter table %s drop column %I', t, one);
    when dice / 16 % 4 = 2 then execute format('alter table %s rename column %I to %I', t, one, 'x' || dice);
    when now_text then
      retyped := one;
      execute format('alter table %1$s alter column %2$I drop default, alter column %2$I type int using length(%2$I)', t, one);
    else
      retyped := one;
      execute format('alter table %1$s alter column %2$I drop default, alter column %2$I type text using %2$I::text', t, one);
  end case;
  insert into audit.columns (tab, retyped) values (t::text, retyped);
end $$;

-- Gives some rows other values in those columns.
create function audit.fill_columns(t regclass, dice bigint) returns void language plpgsql as $$
declare
  name text := (select attname from pg_attribute
                 where attrelid = t and attnum > 0 and not attisdropped and attname ~ '^x'
                 order by attnum desc limit 1);
begin
  if name is not null then
    execute format('update %s set %I = %L where v %% 7 = %s', t, name, dice % 1000, dice % 7);
  end if;
end $$;

create table public.full_rows (
  id bigint primary key, v int, note text, body text, flag boolean default true, amount numeric(12,3) default 1.250, at timestamptz default now());
alter table public.full_rows replica identity full;

create table public.default_rows (tenant text, id bigint, v int, note text, body text, primary key (tenant, id));

create table public.index_rows (code text not null, region int not null, v int, note text, body text);
create unique index index_rows_identity on public.index_rows (code, region);
alter table public.index_rows replica identity using index index_rows_identity;

create table public.index_beside_key (id bigint primary key, code text not null, v int, note text, body text);
create unique index index_beside_key_identity on public.index_beside_key (code);
alter table public.index_beside_key replica identity using index index_beside_key_identity;

create table public.parted (region text, id bigint, v int, note text, body text, primary key (region, id))
  partition by list (region);
create table public.parted_north partition of public.parted for values in ('north');
create table public.parted_south partition of public.parted for values in ('south');
create table public.parted_others partition of public.parted default partition by range (id);
create table public.parted_others_low partition of public.parted_others for values from (minvalue) to (20);
create table public.parted_others_high partition of public.parted_others for values from (20) to (maxvalue);
alter table public.parted_north replica identity full;

create table public.parents (id bigint primary key, v int, note text, body text);
create table public.children (
  id bigint primary key, parent bigint references public.parents on delete cascade, v int, note text, body text);
create index on public.children (parent);
alter table public.children replica identity full;

create table public.bulk_rows (id bigint primary key, v int, note text, body text);

-- One transaction that does not fit into a batch.
create function audit.large() returns void language plpgsql as $$
begin
  delete from public.bulk_rows where id <= 16000;
  insert into public.bulk_rows select g, g % 100, audit.noise(g, 300) from generate_series(1, 16000) g
  on conflict do nothing; -- a writer may be at the same rows
end $$;

-- TOASTed values stay as long as they are.
alter table public.full_rows alter body set storage external;
alter table public.default_rows alter body set storage external;
alter table public.index_rows alter body set storage external;
alter table public.index_beside_key alter body set storage external;
alter table public.parted alter body set storage external;
alter table public.parted_north alter body set storage external;
alter table public.parted_south alter body set storage external;
alter table public.parted_others alter body set storage external;
alter table public.parted_others_low alter body set storage external;
alter table public.parted_others_high alter body set storage external;

select audit.watch('public.full_rows'), audit.watch('public.default_rows'), audit.watch('public.index_rows'),
       audit.watch('public.index_beside_key'), audit.watch('public.parted', 'parted'),
       audit.watch('public.parents'), audit.watch('public.children'), audit.watch('public.bulk_rows');

-- Nobody captures this one: its WAL is all that moves when nothing else does.
create table audit.elsewhere (id bigint generated always as identity, note text);
