"""A SQLAlchemy application changes table `t`; DATABASE_URL names the database."""

import os
import sys
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/context/sqlalchemy"))
from rowhook_context import attach, saying  # noqa: E402

url = os.environ["DATABASE_URL"].replace("postgresql://", "postgres://")
engine = create_engine(url.replace("postgres://", "postgresql+psycopg://"), pool_size=1)
attach(engine)
insert = text("insert into t values (:id, 0)")

with saying(user_id="ada", ip=None), Session(engine) as session:
    session.execute(insert, {"id": 1})
    session.commit()
    # A new transaction of the same session, with more to say.
    with saying(request_id="r-2"):
        session.execute(insert, {"id": 2})
        with session.begin_nested() as savepoint:
            session.execute(insert, {"id": 99})
            savepoint.rollback()
        session.commit()
with saying(user_id="eve"), engine.connect() as connection:
    connection.execute(insert, {"id": 98})
    connection.rollback()
with saying(user_id="käthe"), engine.begin() as connection:
    connection.execute(insert, {"id": 3})
with engine.begin() as connection:
    connection.execute(insert, {"id": 4})
