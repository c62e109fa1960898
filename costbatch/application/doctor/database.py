"""Checks the database: connection, version, schema, privileges and clock."""

from datetime import timedelta

from costbatch.application.doctor.findings import Finding, failure, ok, warning
from costbatch.application.doctor.ports import DatabaseHealth
from costbatch.application.ports import Clock

_OLDEST_MAJOR = 13
_CLOCK_TOLERANCE_SECONDS = 5.0
# From here on, hours and minutes are easier to read.
_LONG_SECONDS = 600.0


def check_server(health: DatabaseHealth) -> Finding:
    """Connect, and check the server's version and encoding."""
    server = health.server()
    by = ", through a connection pooler" if server.is_pooled else ""
    found = f"Connected to PostgreSQL {server.version} in {server.connect_seconds * 1000:,.0f} ms{by}."
    if server.version_number // 10_000 < _OLDEST_MAJOR:
        return failure(found, f"Upgrade the server: costbatch needs PostgreSQL {_OLDEST_MAJOR} or newer.")
    if server.encoding != "UTF8":
        return failure(
            f"{found}\nThe database's encoding is {server.encoding}, which cannot store every name of "
            "a service or an account.",
            "Create a database with ENCODING 'UTF8' TEMPLATE template0, and set DATABASE_URL to it.",
            is_configuration=True,
        )
    return ok(found)


def check_schema(health: DatabaseHealth) -> Finding:
    """Compare the revision of the schema with the one that this version needs."""
    schema = health.schema()
    if schema.current == schema.needed:
        return ok(f"The schema is up to date ({schema.needed}).")
    if schema.current is None:
        found, advice = "The database has no costbatch tables yet.", "Run `costbatch db upgrade`."
    elif schema.is_known:
        found = f"The schema is at {schema.current}, but this version needs {schema.needed}."
        advice = "Run `costbatch db upgrade`."
    else:
        found = f"The schema is at {schema.current}, from a newer version of costbatch."
        advice = "Run that version or a newer one."
    return failure(found, advice, is_configuration=True)


def check_rights(health: DatabaseHealth) -> Finding:
    """Check that the role has every privilege that a run needs."""
    rights = health.rights()
    if rights.is_read_only:
        return failure(
            "The database is read-only: it is a standby, or its transactions are read-only.",
            "Set DATABASE_URL to the primary server; "
            "if it is that, set default_transaction_read_only to off.",
        )
    if rights.missing:
        return failure(
            f"The role {rights.role} lacks privileges:\n" + "\n".join(rights.missing),
            "Use one role for migrations and runs, so that it owns the tables; or grant what is missing. "
            "Only the owner of daily_costs can create monthly partitions. "
            "If this is a read-only role, run this check with the DATABASE_URL of the role that runs use.",
        )
    return ok(f"The role {rights.role} can write all tables, use temporary tables and create partitions.")


def check_clock(health: DatabaseHealth, clock: Clock) -> Finding:
    """Compare the clocks of the database and of this machine."""
    before = clock()
    theirs = health.clock()
    after = clock()
    # The answer was given between the two: a time between them is no difference.
    ahead, behind = (theirs - after).total_seconds(), (before - theirs).total_seconds()
    difference = max(ahead, behind, 0.0)
    if difference <= _CLOCK_TOLERANCE_SECONDS:
        return ok(f"The clocks of the database and of this machine agree to {difference:.1f} s.")
    order = "ahead of" if ahead > behind else "behind"
    span = f"{difference:.1f} s"
    if difference >= _LONG_SECONDS:
        span = str(timedelta(seconds=round(difference)))
    return warning(
        f"The database's clock is {span} {order} this machine's.",
        "Synchronize both with NTP: AWS refuses requests whose time is off, and runs take yesterday's date "
        "from the clock.",
    )
