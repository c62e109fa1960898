"""Whether the database answers, has a version and a schema that fit, lets a run write, and tells the time."""

from datetime import timedelta

from costbatch.application.doctor.findings import Finding, failure, ok, warning
from costbatch.application.doctor.ports import DatabaseHealth
from costbatch.application.ports import Clock

_OLDEST_MAJOR = 13
_CLOCK_TOLERANCE_SECONDS = 5.0
# From here on hours and days read better.
_LONG_SECONDS = 600.0


def check_server(health: DatabaseHealth) -> Finding:
    """Connect, and look at what answers."""
    server = health.server()
    by = ", through a connection pooler" if server.is_pooled else ""
    found = f"PostgreSQL {server.version} took the connection in {server.connect_seconds * 1000:,.0f} ms{by}."
    if server.version_number // 10_000 < _OLDEST_MAJOR:
        return failure(found, f"Upgrade the server: costbatch needs PostgreSQL {_OLDEST_MAJOR} or newer.")
    if server.encoding != "UTF8":
        return failure(
            f"{found}\nThe database's encoding is {server.encoding}, in which not every name of a service "
            "or an account can be stored exactly.",
            "Create a database with ENCODING 'UTF8' TEMPLATE template0, and let DATABASE_URL name that one.",
            is_configuration=True,
        )
    return ok(found)


def check_schema(health: DatabaseHealth) -> Finding:
    """Compare the database's revision with the one that this program needs."""
    schema = health.schema()
    if schema.current == schema.needed:
        return ok(f"The schema is at {schema.needed}, as this version needs it.")
    if schema.current is None:
        found, advice = "The database has no costbatch tables yet.", "Run `costbatch db upgrade`."
    elif schema.is_known:
        found = f"The schema is at {schema.current}, older than this version needs ({schema.needed})."
        advice = "Run `costbatch db upgrade`."
    else:
        found = f"The schema is at {schema.current}, which a newer costbatch made."
        advice = "Run that version, or a newer one."
    return failure(found, advice, is_configuration=True)


def check_rights(health: DatabaseHealth) -> Finding:
    """Look whether the database's role may do all that a run does."""
    rights = health.rights()
    if rights.is_read_only:
        return failure(
            "The database takes no writes: it is a standby, or its transactions are read-only.",
            "Let DATABASE_URL name the primary server.",
        )
    if rights.missing:
        return failure(
            f"The role {rights.role} lacks:\n" + "\n".join(rights.missing),
            "Let one role run the migrations and the batch, so that it owns the tables; or grant what is "
            "missing. Monthly partitions can be made by the owner of daily_costs only. "
            "If this role is meant to read only, examine the batch with the DATABASE_URL of its own role.",
        )
    return ok(f"The role {rights.role} may write every table, use temporary tables and add partitions.")


def check_clock(health: DatabaseHealth, clock: Clock) -> Finding:
    """Compare the database's clock with this machine's."""
    before = clock()
    theirs = health.clock()
    after = clock()
    # The answer is from some instant between the two: inside of them there is no difference to be seen.
    ahead, behind = (theirs - after).total_seconds(), (before - theirs).total_seconds()
    difference = max(ahead, behind, 0.0)
    if difference <= _CLOCK_TOLERANCE_SECONDS:
        return ok(f"The database's clock and this machine's agree to {difference:.1f} s.")
    order = "ahead of" if ahead > behind else "behind"
    return warning(
        f"The database's clock is {_span(difference)} {order} this machine's.",
        "Let both follow NTP: AWS refuses requests that are minutes off, and which day is yesterday "
        "depends on it.",
    )


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _LONG_SECONDS else str(timedelta(seconds=round(seconds)))
