-- Takes away what receivers answered to events $1, and why their requests could not be rendered.
update rowhook.attempts
   set answer = null, error = case outcome when 'not_rendered' then 'erased' else error end
 where sequence_id = any ($1)
   and (answer is not null or outcome = 'not_rendered' and error <> 'erased')
