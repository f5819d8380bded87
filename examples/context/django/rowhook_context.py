"""Says on whose behalf each transaction of a request changes rows.

In the settings, after the middleware that finds out who it is:

    MIDDLEWARE = [..., "rowhook_context.RowhookContext"]
    ATOMIC_REQUESTS = True  # in DATABASES

Needs a transaction: ATOMIC_REQUESTS, or `transaction.atomic()` around what changes rows. A statement
outside of one is said nothing of.
"""

import json
from contextlib import ExitStack

from django.db import connections

IDLE = 0  # psycopg's and libpq's word for "no transaction has begun"


def context_of(request):
    """What is said. Members are yours to choose; those without a value are left out."""
    user = getattr(request, "user", None)
    said = {
        "user_id": str(user.pk) if user is not None and user.is_authenticated else None,
        "ip": request.META.get("REMOTE_ADDR"),
        "request_id": request.headers.get("X-Request-Id"),
        "traceparent": request.headers.get("traceparent"),
    }
    return {key: value for key, value in said.items() if value is not None}


class RowhookContext:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        def say(execute, sql, params, many, context):
            connection = context["connection"]
            raw = connection.connection
            # The statement that is about to run begins a transaction: it is the first in its block.
            if connection.in_atomic_block and raw.info.transaction_status == IDLE:
                with raw.cursor() as cursor:
                    cursor.execute("select rowhook.set_context(%s::jsonb)", [json.dumps(context_of(request))])
            return execute(sql, params, many, context)

        with ExitStack() as stack:
            for connection in connections.all():
                if connection.vendor == "postgresql":
                    stack.enter_context(connection.execute_wrapper(say))
            return self.get_response(request)
