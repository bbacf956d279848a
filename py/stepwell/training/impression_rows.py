"""Rows to train on: what was shown, joined with what became of it, by SQL.

The same join as `stepwell.feedback.attribution`, for logs that fit no memory: these
statements run on DuckDB and, word for word, on Spark.
"""

from stepwell.base.errors import InvalidArgumentError
from stepwell.schema.events import EventType

OUTCOMES = tuple(f"is_{kind.name.lower()}" for kind in EventType)
"""Columns that say which kinds of events answered a shown item."""


EVENT_ROWS = (
    "SELECT line, event_id, request_id, user_id, item_id, -1 AS position, event_type,"
    " event_time, ingestion_time_us - 1 AS ingestion_time_us, value FROM feedback"
)
"""Rows where nothing was shown: each event, asked for just before it was known."""


def attribution_statements(
    window_seconds: int, as_of_seconds: int
) -> list[tuple[str, str]]:
    """Returns (view to create, its query) in order; they read `shown` and `feedback`.

    The two tables have the columns of impression_rows_tables. `outcomes` has a row a
    shown item: the columns of `shown`, OUTCOMES (booleans), `value` (double, sum over
    the answering events), `delay_seconds` (bigint, from the slate to the first of them,
    -1 when ignored). `unattributed` has (cause, num_events), by the names of
    `Unattributed`.

    Args:
        window_seconds: an event answers a slate so long after it, both ends included.
        as_of_seconds: slates whose window is not over by then are left out.
    Raises:
        InvalidArgumentError: the window is not positive.
    """
    if window_seconds <= 0:
        message = f"window_seconds is {window_seconds}, must be positive"
        raise InvalidArgumentError(message, "window_seconds")
    return [
        ("due", _due(as_of_seconds - window_seconds)),
        ("judged", _judged(window_seconds)),
        ("answers", _answers()),
        ("outcomes", _outcomes()),
        (
            "unattributed",
            "SELECT cause, count(*) AS num_events FROM judged"
            " WHERE cause <> '' GROUP BY cause",
        ),
    ]


def _due(last_due: int) -> str:
    """Shown items of due slates; of two slates with one request id the first."""
    return (
        "SELECT shown.* FROM shown JOIN (SELECT request_id, min(line) AS first_line"
        f" FROM shown WHERE event_time <= {last_due} GROUP BY request_id) AS firsts"
        " ON shown.request_id = firsts.request_id AND shown.line = firsts.first_line"
    )


def _judged(window_seconds: int) -> str:
    """Each event once, with why it answers no slate; '' when it does."""
    return (
        "SELECT happened.*, CASE WHEN happened.request_id = '' THEN 'NO_REQUEST'"
        " WHEN slates.request_id IS NULL THEN 'UNKNOWN_REQUEST'"
        " WHEN happened.user_id <> slates.user_id THEN 'OTHER_USER'"
        " WHEN items.item_id IS NULL THEN 'NOT_SHOWN'"
        " WHEN happened.event_time < slates.event_time OR"
        f" happened.event_time > slates.event_time + {window_seconds}"
        " THEN 'OUTSIDE_WINDOW' ELSE '' END AS cause FROM (SELECT feedback.* FROM"
        " feedback JOIN (SELECT event_id, min(line) AS first_line FROM feedback"
        " GROUP BY event_id) AS firsts ON feedback.event_id = firsts.event_id"
        " AND feedback.line = firsts.first_line) AS happened"
        " LEFT JOIN (SELECT DISTINCT request_id, user_id, event_time FROM due)"
        " AS slates ON happened.request_id = slates.request_id"
        " LEFT JOIN (SELECT DISTINCT request_id, item_id FROM due) AS items"
        " ON happened.request_id = items.request_id"
        " AND happened.item_id = items.item_id"
    )


def _answers() -> str:
    """What became of a shown item that was answered."""
    kinds = ", ".join(
        f"max(CASE WHEN event_type = {int(kind)} THEN 1 ELSE 0 END) = 1 AS {outcome}"
        for kind, outcome in zip(EventType, OUTCOMES, strict=True)
    )
    return (
        f"SELECT request_id, item_id, {kinds}, sum(CAST(value AS DOUBLE)) AS value,"
        " min(event_time) AS first_time FROM judged WHERE cause = ''"
        " GROUP BY request_id, item_id"
    )


def _outcomes() -> str:
    kinds = ", ".join(
        f"coalesce({outcome}, false) AS {outcome}" for outcome in OUTCOMES
    )
    return (
        f"SELECT due.*, {kinds}, coalesce(answers.value, 0) AS value,"
        " coalesce(answers.first_time - due.event_time, -1) AS delay_seconds"
        " FROM due LEFT JOIN answers ON due.request_id = answers.request_id"
        " AND due.item_id = answers.item_id WHERE due.item_id IS NOT NULL"
    )
