"""A new champion refreshes the signals, once."""

from __future__ import annotations

import dagster as dg

from assets.sensors import champion_sensor
from nofx_pipelines.promotion.signals import signalled_version
from tests.chain import Chain


def test_a_new_champion_asks_for_signals_once(chain: Chain) -> None:
    sensor, model = champion_sensor(chain.universe, chain.home), chain.universe.model_name
    reigning = chain.tracker.alias(model, "champion")
    assert signalled_version(chain.lake, chain.universe) == reigning
    first = sensor(dg.build_sensor_context())
    assert isinstance(first, dg.SensorResult)
    assert not first.run_requests
    assert first.cursor == reigning

    other = "1" if reigning == "2" else "2"
    chain.tracker.set_alias(model, "champion", other)
    moved = sensor(dg.build_sensor_context(cursor=first.cursor))
    assert isinstance(moved, dg.SensorResult)
    assert moved.run_requests is not None
    (request,) = moved.run_requests
    assert request.run_key == f"{model}/{other}"
    assert isinstance(sensor(dg.build_sensor_context(cursor=moved.cursor)), dg.SkipReason)


def test_without_a_champion_nothing_is_asked(chain: Chain) -> None:
    import dataclasses

    nobody = dataclasses.replace(chain.universe, name="nobody")
    assert isinstance(champion_sensor(nobody, chain.home)(dg.build_sensor_context()), dg.SkipReason)
