"""The point-in-time join on Spark: the same rows where one machine is too small.

Needs pyspark, which is an extra of its own (requirements-spark.lock), and a Java
run-time.
"""

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from stepwell.training.point_in_time import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    ViewTable,
)

_ROW = "row_number"
_SEEN = "seen"
_TIMES = (EVENT_TIMESTAMP, CREATED_TIMESTAMP)


def joined_on_spark(spark: SparkSession, rows: DataFrame, view: ViewTable) -> DataFrame:
    """Returns `rows` with a view's columns as PointInTimeJoin gives them.

    Ingestion is checked always.

    Args:
        rows: with ROW_COLUMNS and the view's key.
    Cost: one shuffle and sort of rows and feature rows together by entity: each row
        looks back at the newest by event time of all that were created before it. Rows
        that a late feature row is in the way of are joined with all of their entity's.
    """
    stored = spark.read.parquet(str(view.files))
    stored = stored.select(
        F.col(view.key).alias("entity"),
        F.struct(*_TIMES, *(F.col(f"`{f}`") for f in view.features)).alias(_SEEN),
    )
    asked = rows.select(
        _ROW, F.col(view.key).alias("entity"), "event_time", "ingestion_time_us"
    )
    first = _newest_known(asked, stored)
    is_ahead = F.col(f"{_SEEN}.{EVENT_TIMESTAMP}") > F.col("event_time")
    searched = (
        first.filter(is_ahead)
        .drop(_SEEN)
        .join(stored, "entity")
        .filter(F.col(f"{_SEEN}.{EVENT_TIMESTAMP}") <= F.col("event_time"))
        .filter(F.col(f"{_SEEN}.{CREATED_TIMESTAMP}") <= F.col("ingestion_time_us"))
        .groupBy(_ROW, "event_time")
        .agg(F.max_by(_SEEN, F.struct(*_seen_times())).alias(_SEEN))
    )
    wanted = (_ROW, "event_time", _SEEN)
    found = first.filter(~is_ahead).select(*wanted).unionAll(searched.select(*wanted))
    if view.ttl_seconds:
        age = F.col("event_time") - F.col(f"{_SEEN}.{EVENT_TIMESTAMP}")
        found = found.filter(age <= view.ttl_seconds)
    columns = [
        F.col(_SEEN)[stored_name].alias(column)
        for stored_name, column in zip(view.stored, view.columns, strict=True)
    ]
    return rows.join(found.select(_ROW, *columns), _ROW, "left")


def _newest_known(asked: DataFrame, stored: DataFrame) -> DataFrame:
    """Returns the questions with `seen`, the newest by event time that was known."""
    created = F.col(f"{_SEEN}.{CREATED_TIMESTAMP}")
    type_of_seen = stored.schema[_SEEN].dataType
    nothing = F.lit(None)
    known = stored.select(
        "entity",
        created.alias("clock"),
        F.lit(0).alias("is_question"),
        nothing.cast("bigint").alias(_ROW),
        nothing.cast("bigint").alias("event_time"),
        nothing.cast("bigint").alias("ingestion_time_us"),
        _SEEN,
    )
    questions = asked.select(
        "entity",
        F.col("ingestion_time_us").alias("clock"),
        F.lit(1).alias("is_question"),
        _ROW,
        "event_time",
        "ingestion_time_us",
        nothing.cast(type_of_seen).alias(_SEEN),
    )
    back = (
        Window.partitionBy("entity")
        .orderBy("clock", "is_question")
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    newest = F.max_by(_SEEN, F.when(F.col(_SEEN).isNotNull(), F.struct(*_seen_times())))
    looked = known.unionAll(questions).withColumn(_SEEN, newest.over(back))
    is_answered = (F.col("is_question") == 1) & F.col(_SEEN).isNotNull()
    return looked.filter(is_answered).drop("clock", "is_question")


def _seen_times() -> list[Column]:
    return [F.col(f"{_SEEN}.{name}") for name in _TIMES]
