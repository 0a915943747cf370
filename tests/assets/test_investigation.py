"""A critical anomaly starts one run, which writes its page."""

from __future__ import annotations

import dagster as dg

from assets.investigation import critical_sensor, investigation_job
from resources.lake import LakeResource
from tests.anomaly.test_investigation import _make_critical
from tests.chain import Chain


def test_each_critical_anomaly_is_looked_into_once(chain: Chain) -> None:
    sensor = critical_sensor(chain.universe, chain.config.lake)
    first = sensor(dg.build_sensor_context())
    assert isinstance(first, dg.SkipReason)
    name = _make_critical(chain)
    found = sensor(dg.build_sensor_context())
    assert isinstance(found, dg.SensorResult)
    assert found.run_requests is not None
    (request,) = found.run_requests
    assert request.run_key == name
    again = sensor(dg.build_sensor_context(cursor=found.cursor))
    assert isinstance(again, dg.SkipReason)

    job = investigation_job(chain.universe, chain.feed, chain.home)
    result = job.execute_in_process(
        run_config=request.run_config, resources={"lake": LakeResource(root=str(chain.config.lake))}
    )
    assert result.success
    assert (chain.home / "investigations" / "cn" / f"{name}.md").read_text().startswith("# critical")
