"""The grammar of Logs Insights: what AWS's documentation shows is taken, what the guides got wrong is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.generate.insights import problem

RIGHT = [
    "fields @timestamp, @message | sort @timestamp desc | limit 25",
    "fields @timestamp, @message\n| filter (range>3000 and accountId=123456789012)\n| sort @timestamp desc\n| limit 20",
    "filter @message like /(?i)Exception/ | stats count(*) as exceptionCount by bin(5m) | sort exceptionCount desc",
    "filter logGroup like 'x' or not level in ['INFO', \"DEBUG\"] | display level",
    "parse @message /user=(?<user>[^,]+), method:(?<name>\\w+)/ | stats avg(latency) as l by name, user",
    'parse @message "user=*, method:*, latency := *" as @user, @method, @latency | stats avg(@latency) by @method',
    "stats max(a) - min(a) as spread, pct(a, 99.9) by bin(1h) as hour, host | sort hour",
    "stats count(*) by bin(30s) | sort bin(30s) desc",
    "stats sum(`odd name`) as total | filter total > 10 and total != 12",
    "fields concat(a, '-', b) as both, strlen(@message) # a comment\n| dedup both | limit 1",
    "where a.b.0 = -1 | pattern @message",
    "filterIndex requestId = '1' | stats count(*) as n by a | unnest b into c | filter c = 1 | diff",
]
WRONG = [
    ("stats percentile(latency_ms, 50) as p50 by bin(5m)", "percentiles are pct(field, 95)"),
    ("stats avg(latency_ms) by bin(5m) | sort @timestamp desc", "uses @timestamp after stats"),
    ("stats count(*) as n by host | filter level = 'x'", "uses level after stats"),
    ("FROM METRICS WHERE MetricName = 'a'", "'FROM' where a command is expected"),
    ("SELECT a", "where a command is expected"),
    ("fields a | | limit 1", "where a command is expected"),
    ("fields a limit 1", "where a command ends"),
    ("limit 0", "must be 1-10000"),
    ("limit 5.5", "must be 1-10000"),
    ("stats count(*) by bin(5)", "a period is like"),
    ("stats host by level", "no aggregation"),
    ("filter avg(a) > 1", "outside of stats"),
    ("filter a = ", "ends where more is expected"),
    ("filter a like /x", "a pattern that does not end"),
    ("filter (a = 1", "where ')' is expected"),
    ("parse @message 'a * b *' as x", "2 stars for 1 names"),
    ("fields a ; b", "which is nothing of the language"),
    ("filter " + "(" * 100 + "a" + ")" * 100, "nested too deeply"),
]


@pytest.mark.parametrize("query", RIGHT)
def test_documented_queries_are_taken(query: str) -> None:
    assert problem(query) is None


@pytest.mark.parametrize(("query", "sentence"), WRONG)
def test_wrong_queries_are_refused_with_the_reason(query: str, sentence: str) -> None:
    assert sentence in str(problem(query))


@given(
    st.lists(
        st.sampled_from([*"|,()=/[]`'\"#-*", " ", "fields", "stats", "count", "by", "bin", "5m", "a", "as", "1", "\\"])
    )
)
def test_any_text_is_taken_or_refused(parts: list[str]) -> None:
    found = problem("".join(parts))

    assert found is None or isinstance(found, str)
