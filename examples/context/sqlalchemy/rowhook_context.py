"""Says on whose behalf each transaction of an engine changes rows.

    attach(engine)          # once; of an async engine: attach(engine.sync_engine)
    with saying(user_id=7, request_id="r-1"):
        ...                 # every transaction that begins in here, by Core or by a Session
"""

import json
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import event, text

_context = ContextVar("rowhook_context", default={})
_SAY = text("select rowhook.set_context(cast(:context as jsonb))")


@contextmanager
def saying(**members):
    """Adds members to what is said; those with None are left out. Holds for this thread or task."""
    known = {key: value for key, value in members.items() if value is not None}
    token = _context.set({**_context.get(), **known})
    try:
        yield
    finally:
        _context.reset(token)


def attach(engine):
    """Has every transaction of the engine begin with what is said at that time."""

    @event.listens_for(engine, "begin")
    def say(connection):
        context = _context.get()
        if context:
            connection.execute(_SAY, {"context": json.dumps(context)})
