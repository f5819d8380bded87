"""The table that most cases write to, and how they do."""

CREATE = """
create table orders (
    id bigserial primary key,
    user_id bigint not null,
    status text not null,
    total numeric(12, 2) not null,
    note text not null,
    meta jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
)
"""

# Values of about the size that an order has: 100 characters of note, 200 bytes of meta.
VALUES = """
{user}, 'open', {user} / 7.0,
'please leave the parcel with the neighbours at number ' || {user} || ', they are at home until nine o''clock',
('{{"channel": "web", "session": "8d7f3a52c0b94e1f", "user": ' || {user} || ', "agent": "Mozilla/5.0 (X11; Linux x86_64)", "tags": ["gift", "express", "insured"], "address": {{"city": "Berlin", "zip": "10115"}}}}')::jsonb
"""
INTO = "insert into orders (user_id, status, total, note, meta)"

INSERT = f"""
\\set user random(1, 100000)
{INTO} values ({VALUES.format(user=":user")});
"""
UPDATE = """
\\set id random(1, :rows)
update orders set status = 'paid', total = total + 1, updated_at = now() where id = :id;
"""


def fill(cluster, database, rows):
    """Rows of one transaction."""
    cluster.sql(database, f"{INTO} select {VALUES.format(user='(i % 100000)')} from generate_series(1, {rows}) i")


def backlog(cluster, database, script, changes, **variables):
    """Single-row transactions. pgbench gives each of its four clients the same number."""
    options = ["-M", "prepared", "-t", str(changes // 4)]
    cluster.pgbench(database, script, *options, **variables)


def last_change(cluster, database):
    """A commit that waits for the disk takes the asynchronous ones before it along."""
    cluster.sql(database, f"{INTO} values (0, 'last', 0, '', '{{}}')")
