"""The training rows of impression_rows_writer on Spark, where one machine is too small.

Needs pyspark, which is an extra of its own (requirements-spark.lock), and a Java
run-time.
"""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from stepwell.training.impression_rows import attribution_statements
from stepwell.training.impression_rows_tables import FEEDBACK_FILE, SHOWN_FILE
from stepwell.training.point_in_time import ViewTable
from stepwell.training.point_in_time_spark import joined_on_spark

_MAX_SLATE = 65_536
# Positions may be unknown, all -1: rows are numbered, each slate's by itself.
_NUMBERED = (
    f"SELECT *, line * {_MAX_SLATE} - 1 + row_number() OVER"
    " (PARTITION BY line ORDER BY position, item_id) AS row_number FROM outcomes"
)


def rows_on_spark(
    spark: SparkSession,
    tables: Path,
    views: tuple[ViewTable, ...],
    window_seconds: int,
    as_of_seconds: int,
) -> DataFrame:
    """Returns a row for each shown item, with its outcome and its features.

    The columns are those that RowsWriter writes; `write.partitionBy` is up to the
    caller.

    Args:
        spark: a session; temporary views named shown, feedback, due, judged, answers,
            outcomes and unattributed are made in it.
        tables: folder with the tables of impression_rows_tables.
        views: feature rows over time.
        window_seconds, as_of_seconds: see attribution_statements.
    """
    for name, file in (("shown", SHOWN_FILE), ("feedback", FEEDBACK_FILE)):
        spark.read.parquet(str(tables / file)).createOrReplaceTempView(name)
    for name, query in attribution_statements(window_seconds, as_of_seconds):
        spark.sql(query).createOrReplaceTempView(name)
    rows = spark.sql(_NUMBERED)
    for view in views:
        rows = joined_on_spark(spark, rows, view)
    return rows.drop("row_number")
