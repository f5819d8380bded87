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
  perform pg_logical_emit_message(true, 'rowhook.context', convert_to(context::text, 'UTF8'));
  -- Triggers of rowhook.capture_context leave alone what is said here, until the transaction ends.
  perform set_config('rowhook.said', (rowhook.as_object(current_setting('rowhook.said', true)) || context
    || rowhook.as_object(context ->> 'sessionVariables') || rowhook.as_object(context ->> 'traceContext'))::text, true);
end $$;
comment on function rowhook.set_context(jsonb) is
  'Attaches session variables and trace context to what the transaction changes from here on; merged key by key.';
grant usage on schema rowhook to public;
grant execute on function rowhook.set_context(jsonb) to public;
