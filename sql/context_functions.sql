-- Context without touching the application: triggers that read what frameworks leave behind in settings.

-- A text as a JSON object; anything else is an empty one, as no setting may fail the application's statement.
create or replace function rowhook.as_object(setting text) returns jsonb
language plpgsql stable set search_path = pg_catalog as $$
declare
  object jsonb;
begin
  if setting is null or setting = '' then
    return '{}';
  end if;
  object := setting::jsonb;
  return case when jsonb_typeof(object) = 'object' then object else '{}' end;
exception when others then
  return '{}';
end $$;
comment on function rowhook.as_object(text) is 'Of rowhook.capture_context; not for applications.';

-- The session variables and the trace that settings say; `settings` holds them by name. Later ones win.
create or replace function rowhook.context_of(settings jsonb, named text[]) returns jsonb
language plpgsql stable set search_path = pg_catalog as $$
declare
  claims jsonb := rowhook.as_object(settings ->> 'request.jwt.claims');
  headers jsonb := rowhook.as_object(settings ->> 'request.headers');
  said jsonb;
  context jsonb := '{}';
begin
  if settings ->> 'role' <> 'none' then
    context := jsonb_build_object('role', settings -> 'role');
  end if;
  -- PostgREST, before version 9 one setting for each claim.
  context := context || jsonb_strip_nulls(jsonb_build_object(
    'sub', settings -> 'request.jwt.claim.sub',
    'role', settings -> 'request.jwt.claim.role',
    'email', settings -> 'request.jwt.claim.email'));
  -- Not what is about the token alone, and no objects: Supabase has whole profiles there.
  context := context || (
    select coalesce(jsonb_object_agg(c.key, c.value), '{}') from jsonb_each(claims) c
     where jsonb_typeof(c.value) in ('string', 'number', 'boolean')
       and c.key not in ('aud', 'exp', 'iat', 'iss', 'jti', 'nbf'));
  -- Headers hold secrets: these alone are taken.
  context := context || jsonb_strip_nulls(jsonb_build_object(
    'requestId', headers -> 'x-request-id',
    'userAgent', headers -> 'user-agent',
    'traceparent', headers -> 'traceparent',
    'tracestate', headers -> 'tracestate'));
  context := context || rowhook.as_object(settings ->> 'hasura.tracecontext');
  context := context || (
    select coalesce(jsonb_object_agg(lower(h.key), h.value), '{}')
      from jsonb_each(rowhook.as_object(settings ->> 'hasura.user')) h
     where lower(h.key) like 'x-hasura-%' and lower(h.key) <> 'x-hasura-admin-secret');
  said := rowhook.as_object(settings ->> 'rowhook.context');
  context := context || said || rowhook.as_object(said ->> 'sessionVariables') || rowhook.as_object(said ->> 'traceContext');
  context := context || (
    select coalesce(jsonb_object_agg(split_part(n.name, '=', 1), settings -> split_part(n.name, '=', 2)), '{}')
      from unnest(named) n (name)
     where settings -> split_part(n.name, '=', 2) <> 'null');
  return context - 'sessionVariables' - 'traceContext';
end $$;
comment on function rowhook.context_of(jsonb, text[]) is 'Of rowhook.capture_context; not for applications.';

-- What is to be said now, if this is what settings hold and that is what was seen of them before.
create or replace function rowhook.context_news(seen jsonb, settings jsonb, named text[]) returns jsonb
language plpgsql stable set search_path = pg_catalog as $$
declare
  said jsonb := rowhook.as_object(current_setting('rowhook.said', true));
  before jsonb := coalesce(seen -> 'context', '{}');
  after jsonb := rowhook.context_of(settings, named);
  news jsonb;
begin
  -- What is gone is taken back; what the application said itself, by rowhook.set_context, stands.
  select coalesce(jsonb_object_agg(k.key, coalesce(after -> k.key, 'null')), '{}') into news
    from (select jsonb_object_keys(before || after) as key) k
   where before -> k.key is distinct from after -> k.key and not said ? k.key;
  if news = '{}' or octet_length(news::text) > 65536 then
    news := null;
  end if;
  return jsonb_build_object('news', news,
    'seen', jsonb_build_object('settings', settings, 'named', named, 'context', after));
end $$;
comment on function rowhook.context_news(jsonb, jsonb, text[]) is 'Of rowhook.capture_context; not for applications.';

-- The trigger. What it has said in this transaction it remembers in settings that end with it, savepoints
-- included: a value is said once, and a statement for which nothing is new costs a few look-ups.
create or replace function rowhook.say_context() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog as $$
declare
  texts text := array_to_string(array[
    nullif(current_setting('role'), 'none'), current_setting('request.jwt.claims', true),
    current_setting('request.jwt.claim.sub', true), current_setting('request.jwt.claim.role', true),
    current_setting('request.jwt.claim.email', true), current_setting('request.headers', true),
    current_setting('hasura.user', true), current_setting('hasura.tracecontext', true),
    current_setting('rowhook.context', true)], chr(31), '');
  seen jsonb;
  settings jsonb;
  named text[];
  found jsonb;
  message bytea;
begin
  for i in 0 .. tg_nargs - 1 loop
    -- With its name: another table may say the same value of something else.
    texts := texts || chr(31) || coalesce(
      nullif(current_setting(split_part(tg_argv[i], '=', 2), true), '') || chr(30) || tg_argv[i], '');
  end loop;
  if texts = current_setting('rowhook.texts', true)
     or (translate(texts, chr(31), '') = '' and coalesce(current_setting('rowhook.seen', true), '') = '') then
    return null;
  end if;
  -- Whatever a setting holds, the application's statement goes on.
  begin
    seen := rowhook.as_object(current_setting('rowhook.seen', true));
    settings := coalesce(seen -> 'settings', '{}') || jsonb_build_object(
      'role', current_setting('role'),
      'request.jwt.claims', current_setting('request.jwt.claims', true),
      'request.jwt.claim.sub', nullif(current_setting('request.jwt.claim.sub', true), ''),
      'request.jwt.claim.role', nullif(current_setting('request.jwt.claim.role', true), ''),
      'request.jwt.claim.email', nullif(current_setting('request.jwt.claim.email', true), ''),
      'request.headers', current_setting('request.headers', true),
      'hasura.user', current_setting('hasura.user', true),
      'hasura.tracecontext', current_setting('hasura.tracecontext', true),
      'rowhook.context', current_setting('rowhook.context', true));
    named := array(select jsonb_array_elements_text(coalesce(seen -> 'named', '[]')));
    for i in 0 .. tg_nargs - 1 loop
      settings := settings || jsonb_build_object(split_part(tg_argv[i], '=', 2),
        nullif(current_setting(split_part(tg_argv[i], '=', 2), true), ''));
      if tg_argv[i] <> all (named) then
        named := named || tg_argv[i];
      end if;
    end loop;
    found := rowhook.context_news(seen, settings, named);
    perform set_config('rowhook.seen', found ->> 'seen', true);
    message := convert_to(found ->> 'news', 'UTF8');
  exception when others then
    message := null;
  end;
  perform set_config('rowhook.texts', texts, true);
  -- Out here, as in there it would take a transaction id of its own.
  if message is not null then
    perform pg_logical_emit_message(true, 'rowhook.context', message);
  end if;
  return null;
end $$;
comment on function rowhook.say_context() is 'The trigger of rowhook.capture_context.';

create or replace function rowhook.capture_context(captured regclass, settings text[] default '{}') returns void
language plpgsql volatile set search_path = pg_catalog as $$
declare
  about record;
  wanted text;
  keys text[] := '{}';
  arguments text[] := '{}';
begin
  select c.relkind, pg_has_role(c.relowner, 'USAGE') as owned into about from pg_class c where c.oid = captured;
  if about.relkind is null or about.relkind not in ('r', 'p') then
    raise exception 'rowhook.capture_context takes a table, and % is none', coalesce(captured::text, 'null')
      using errcode = 'wrong_object_type', hint = 'for example: select rowhook.capture_context(''public.posts'')';
  end if;
  if not about.owned then
    raise exception 'rowhook.capture_context puts a trigger on %, which only its owner may', captured
      using errcode = 'insufficient_privilege', hint = 'run it as the owner of the table';
  end if;
  foreach wanted in array coalesce(settings, '{}') loop
    -- Settings of the server may be hidden from who changes rows, and reading them would fail.
    if wanted is null
       or wanted !~ '^([A-Za-z_][A-Za-z0-9_]*=)?(application_name|[A-Za-z_][A-Za-z0-9_$]*([.][A-Za-z_][A-Za-z0-9_$]*)+)$'
       or exists (select from pg_settings s
                   where s.name = lower(split_part(wanted, '=', -1)) and s.name <> 'application_name') then
      raise exception 'rowhook.capture_context takes names of settings of your own, not %', quote_nullable(wanted)
        using errcode = 'invalid_parameter_value', hint = 'for example: settings => ''{app.user_id, role_name=app.role}''';
    end if;
    if wanted !~ '=' then
      wanted := regexp_replace(wanted, '^.*[.]', '') || '=' || wanted;
    end if;
    if split_part(wanted, '=', 1) = any (keys) then
      raise exception 'two of the settings would be called "%"', split_part(wanted, '=', 1)
        using errcode = 'invalid_parameter_value', hint = 'name one of them yourself: ''{other_name=app.setting}''';
    end if;
    keys := keys || split_part(wanted, '=', 1);
    arguments := arguments || quote_literal(wanted);
  end loop;
  execute format('create or replace trigger rowhook_context before insert or update or delete or truncate on %s '
    'for each statement execute function rowhook.say_context(%s)', captured, array_to_string(arguments, ', '));
end $$;
comment on function rowhook.capture_context(regclass, text[]) is
  'Puts a trigger on a table that attaches to its changes what PostgREST, Hasura and others leave in settings.';

create or replace function rowhook.release_context(captured regclass) returns void
language plpgsql volatile set search_path = pg_catalog as $$
begin
  execute format('drop trigger if exists rowhook_context on %s', captured);
end $$;
comment on function rowhook.release_context(regclass) is 'Takes the trigger of rowhook.capture_context away.';
grant execute on function rowhook.as_object(text), rowhook.context_of(jsonb, text[]),
  rowhook.context_news(jsonb, jsonb, text[]), rowhook.say_context(), rowhook.capture_context(regclass, text[]),
  rowhook.release_context(regclass) to public;
