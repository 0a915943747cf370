"""The executor of runs that the UI and the daemon launch: a process a step, and the run's own in its tags."""

from collections.abc import Iterator
from typing import Any, cast

import dagster as dg

from nofx_pipelines.cores import cores
from nofx_pipelines.processes import PROCESS_TAG, ProcessId


class _Named(dg.Executor):
    """Another executor, which first writes the run's process into the run's tags."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        plan_context.instance.add_run_tags(plan_context.run_id, {PROCESS_TAG: ProcessId.own().text})
        return self._inner.execute(plan_context, execution_plan)


def _create(init_context: dg.InitExecutorContext) -> dg.Executor:
    create = dg.multiprocess_executor.executor_creation_fn
    assert create is not None
    return _Named(create(init_context))


def run_executor() -> dg.ExecutorDefinition:
    """A process a step, as many as cores, forked from one that has loaded the definitions."""
    parts = dg.multiprocess_executor
    named = dg.ExecutorDefinition(
        name=parts.name,
        config_schema=cast("Any", parts.config_schema),
        requirements=parts._requirements_fn,
        executor_creation_fn=_create,
        description=parts.description,
    )
    preload = ["dagster", "nofx_pipelines.definitions"]
    return named.configured(
        {"max_concurrent": cores(), "start_method": {"forkserver": {"preload_modules": preload}}},
        name=parts.name,
    )
