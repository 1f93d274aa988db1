"""Alive, ready, delivering: what probes are told, and what a person is told to fix."""

from __future__ import annotations

from itertools import product

import pytest

from sidecar.observe.health import DeliveryHealth, Health, ListenerHealth


@pytest.fixture
def health() -> Health:
    """Three listeners that are bound."""
    return Health(listeners=[ListenerHealth(name, bound=True) for name in ("statsd", "http", "admin")])


def test_it_is_ready_once_every_listener_is_bound() -> None:
    for bound in product((False, True), repeat=3):
        health = Health(listeners=[ListenerHealth(str(number), bound=one) for number, one in enumerate(bound)])

        assert health.ready is all(bound)


def test_it_is_not_ready_while_it_drains(health: Health) -> None:
    assert health.ready
    health.draining = True

    assert not health.ready
    assert health.summary()["ready"] is False
    assert health.summary()["draining"] is True


def test_ready_never_depends_on_delivery(health: Health) -> None:
    health.metrics.failed(1.0, "Network: refused", "check the route")
    health.logs.failed(1.0, "Network: refused", "check the route")

    assert health.ready
    assert not health.delivering


def test_before_the_first_request_delivery_counts_as_working(health: Health) -> None:
    """The strict form of readiness must not wait for traffic that may never come."""
    assert health.metrics.up is None
    assert health.delivering


@pytest.mark.parametrize("signal", ["metrics", "logs"])
def test_one_failing_signal_is_enough_to_be_told(health: Health, signal: str) -> None:
    delivery: DeliveryHealth = getattr(health, signal)
    delivery.failed(5.0, "AccessDenied: no", "grant the role")

    assert not health.delivering
    delivery.succeeded(6.0)
    assert health.delivering


def test_only_the_first_failure_is_news_and_only_the_first_success_after_it() -> None:
    delivery = DeliveryHealth()
    assert delivery.succeeded(1.0) is False
    assert delivery.failed(2.0, "Network: refused", "check the route") is True
    assert delivery.failed(3.0, "Network: refused again", "check the route") is False
    assert delivery.succeeded(4.0) is True

    assert delivery.succeeded(5.0) is False


def test_a_failure_with_another_remedy_is_news() -> None:
    delivery = DeliveryHealth()
    delivery.failed(1.0, "Network: refused", "check the route")

    assert delivery.failed(2.0, "AccessDenied: no", "grant the role") is True
    assert delivery.summary()["fix"] == "grant the role"


def test_a_failure_says_what_since_when_and_what_to_fix() -> None:
    delivery = DeliveryHealth()
    delivery.succeeded(1.0)
    delivery.failed(2.0, "Network: refused", "check the route")
    delivery.failed(9.0, "Timeout: no answer", "check the route")

    assert delivery.summary() == {
        "up": False,
        "slowed": False,
        "last_success": 1.0,
        "error": "Timeout: no answer",
        "fix": "check the route",
        "failing_since": 2.0,
    }


def test_a_success_takes_back_what_was_said_of_the_failure() -> None:
    delivery = DeliveryHealth()
    delivery.failed(2.0, "Network: refused", "check the route")
    delivery.succeeded(3.0)

    assert delivery.summary() == {"up": True, "slowed": False, "last_success": 3.0}
    delivery.failed(8.0, "Network: refused", "check the route")
    assert delivery.failing_since == 8.0


def test_delivery_that_is_slowed_says_so_whether_it_is_up_or_not() -> None:
    delivery = DeliveryHealth(rate_limit=lambda: 1.23456)
    delivery.succeeded(1.0)
    slowed = delivery.summary()
    delivery.failed(2.0, "Network: refused", "check the route")

    assert (slowed["up"], slowed["slowed"], slowed["requests_per_second_limit"]) == (True, True, 1.235)
    assert "quota" in slowed["fix"]
    assert delivery.summary()["slowed"] is True
    assert delivery.summary()["fix"] == "check the route"


def test_a_listener_shows_where_it_listens_or_why_it_does_not() -> None:
    listener = ListenerHealth("statsd", error="Address already in use")
    assert listener.summary() == {"bound": False, "addresses": [], "error": "Address already in use"}
    listener.bound, listener.error = True, None
    listener.addresses.append("127.0.0.1:8125")
    listener.details["receive_buffer_bytes"] = 212_992

    assert listener.summary() == {
        "bound": True,
        "addresses": ["127.0.0.1:8125"],
        "receive_buffer_bytes": 212_992,
    }


def test_the_summary_has_every_listener_and_both_signals(health: Health) -> None:
    summary = health.summary()

    assert set(summary["listeners"]) == {"statsd", "http", "admin"}
    assert summary["delivery"] == {
        "metrics": {"up": None, "slowed": False, "last_success": None},
        "logs": {"up": None, "slowed": False, "last_success": None},
    }


def test_two_daemons_in_one_process_share_no_health() -> None:
    first, second = Health(), Health()
    first.metrics.failed(1.0, "Network: refused", None)
    first.listeners.append(ListenerHealth("statsd"))

    assert second.delivering
    assert second.listeners == []
