"""PutMetricData requests as JSON: each datum an item of its own, with the namespace of its request. Pure.

Source: the PutMetricData page of the API reference, read 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sidecar.decode.fields import wrong_type
from sidecar.decode.items import Item, Items, check_number
from sidecar.model.errors import DecodeError, Reason, TooManyItemsError

REQUEST_KEYS: Final = ("MetricData", "EntityMetricData")
REQUEST_FIELDS: Final = frozenset((*REQUEST_KEYS, "Namespace", "StrictEntityValidation"))


def metric_items(items: Iterable[Item | None]) -> Items:
    """Unfold whole PutMetricData requests, so that each datum is an item of its own.

    The datums of `EntityMetricData` are read as those of `MetricData`; the entity itself is ignored.

    Raises:
        TooManyItemsError: a request of over 100,000 datums; before the first item is yielded.
    """
    yielded = False
    for item in items:
        if item is None:
            yield None
            continue
        value = item.value
        if value.__class__ is dict and ("MetricData" in value or "EntityMetricData" in value):
            try:
                check_number(_datums(value))
            except TooManyItemsError as error:
                if not yielded:
                    raise
                yield Item(None, error=DecodeError(Reason.TOO_MANY_ITEMS, str(error)))
            else:
                yield from _unfolded(value, value.get("Namespace"), ())
        else:
            yield item
        yielded = True


def _datums(request: dict[str, Any]) -> int:
    """The number of datums in a request."""
    entities = request.get("EntityMetricData")
    lists = [request.get("MetricData"), *(_metric_data(entity) for entity in _listed(entities))]
    return sum(len(_listed(datums)) for datums in lists)


def _metric_data(entity: object) -> object:
    return entity.get("MetricData") if isinstance(entity, dict) else None


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _unfolded(request: dict[str, Any], namespace: object, ignored: tuple[str, ...]) -> Items:
    """The datums of a request, or of an element of EntityMetricData."""
    ignored += tuple(key for key in request if key not in REQUEST_FIELDS)[:10]
    for key in REQUEST_KEYS:
        if key not in request:
            continue
        values = request[key]
        if not isinstance(values, list):
            yield Item(None, error=wrong_type(key, "an array", values))
        elif key == "MetricData":
            for datum in values:
                yield datum_item(Item(datum), namespace, ignored)
        else:
            for entity in values:
                yield from entity_items(entity, namespace, ignored)


def entity_items(entity: object, namespace: object, ignored: tuple[str, ...]) -> Items:
    """The datums of a parsed element of EntityMetricData."""
    if isinstance(entity, dict) and "MetricData" in entity:
        # Without its own EntityMetricData, which would make this recursive.
        yield from _unfolded({**entity, "EntityMetricData": []}, namespace, ignored)
    else:
        error = wrong_type("an element of EntityMetricData", "an object with Entity and MetricData", entity)
        yield Item(None, error=error)


def datum_item(item: Item, namespace: object, ignored: tuple[str, ...]) -> Item:
    """The item of a datum: with the namespace of its request, unless it has its own."""
    if namespace and isinstance(item.value, dict):
        return Item({"Namespace": namespace, **item.value}, None, None, ignored)
    return item._replace(ignored=ignored) if ignored else item
