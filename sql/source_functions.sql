-- What applications call inside their own transactions, on the source. Nothing is written but WAL.
-- Run again whenever rowhook is set up: it replaces what an earlier version left.
create or replace function rowhook.set_context(context jsonb) returns void
language plpgsql volatile set search_path = pg_catalog as $$
begin
  if jsonb_typeof(context) is distinct from 'object' then
    raise exception 'rowhook.set_context takes a JSON object, not %', coalesce(jsonb_typeof(context), 'null')
      using errcode = 'invalid_parameter_value', hint = 'for example: select rowhook.set_context(''{"user_id": 7}'')';
  end if;
  if octet_length(context::text) > 65536 then
    raise exception 'rowhook.set_context takes at most 64 KiB, not % bytes', octet_length(context::text)
      using errcode = 'invalid_parameter_value';
  end if;
  if octet_length(context::text) > 100 and jsonb_path_exists(context, 'strict $.**{100}.type() ? (@ == "object" || @ == "array")') then
    raise exception 'rowhook.set_context takes at most 100 objects and arrays in each other'
      using errcode = 'program_limit_exceeded';
  end if;
  perform pg_logical_emit_message(true, 'rowhook.context', convert_to(context::text, 'UTF8'));
  -- Triggers of rowhook.capture_context leave alone what is said here, until the transaction ends.
  perform set_config('rowhook.said', (rowhook.as_object(current_setting('rowhook.said', true)) || context
    || rowhook.as_object(context ->> 'sessionVariables') || rowhook.as_object(context ->> 'traceContext'))::text, true);
end $$;
comment on function rowhook.set_context(jsonb) is
  'Attaches session variables and trace context to what the transaction changes from here on; merged key by key.';
grant usage on schema rowhook to public;
grant execute on function rowhook.set_context(jsonb) to public;

create or replace function rowhook.emit(
  type text, data jsonb default null, resource text default null, resource_id text default null
) returns void
language plpgsql volatile set search_path = pg_catalog as $$
declare
  v_hint text := 'for example: select rowhook.emit(''invoice.sent'', ''{"to": "a@b.example"}'', ''invoices'', ''42'')';
begin
  if type is null or octet_length(type) > 200 or type !~ '^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+$' then
    raise exception 'rowhook.emit takes a type of at most 200 letters, digits, _ and - with dots between words, not %',
      coalesce(quote_literal(left(type, 200)), 'null') using errcode = 'invalid_parameter_value', hint = v_hint;
  end if;
  if type ~ '(^rowhook\.|\.(created|updated|deleted|restored|snapshot|truncated|noted)$|^[^.]+\..+\.changed$)' then
    raise exception 'rowhook.emit takes no type that rowhook has itself, such as %', quote_literal(type)
      using errcode = 'reserved_name', hint = 'choose another verb than those of row events; ' || v_hint;
  end if;
  if resource_id is not null and resource is null then
    raise exception 'rowhook.emit takes a resource_id only with the resource that it is an id of'
      using errcode = 'invalid_parameter_value', hint = v_hint;
  end if;
  if resource = '' or resource = 'rowhook' or octet_length(resource) > 255 or resource ~ '[[:cntrl:]]' then
    raise exception 'rowhook.emit takes a resource of 1 to 255 bytes without control characters, and not rowhook, not %',
      quote_literal(left(resource, 255)) using errcode = 'invalid_parameter_value', hint = v_hint;
  end if;
  if resource_id = '' or octet_length(resource_id) > 8192 then
    raise exception 'rowhook.emit takes a resource_id of 1 to 8192 bytes, not %', octet_length(resource_id)
      using errcode = 'invalid_parameter_value', hint = v_hint;
  end if;
  if octet_length(convert_to(data::text, 'UTF8')) > 1048576 then
    raise exception 'rowhook.emit takes at most 1 MiB of data, not % bytes', octet_length(data::text)
      using errcode = 'program_limit_exceeded', hint = 'keep what is large in a table, and emit its key';
  end if;
  if octet_length(data::text) > 100 and jsonb_path_exists(data, 'strict $.**{100}.type() ? (@ == "object" || @ == "array")') then
    raise exception 'rowhook.emit takes data of at most 100 objects and arrays in each other'
      using errcode = 'program_limit_exceeded', hint = 'keep what is deep in a table, and emit its key';
  end if;
  perform pg_logical_emit_message(true, 'rowhook.emit', convert_to(
    json_build_object('type', type, 'data', data, 'resource', resource, 'resource_id', resource_id)::text, 'UTF8'));
end $$;
comment on function rowhook.emit(text, jsonb, text, text) is
  'Emits an event of the application''s own, if and when the transaction commits, at this place among its changes.';
grant execute on function rowhook.emit(text, jsonb, text, text) to public;
