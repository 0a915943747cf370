"""The page on networks: what it says where nothing ran, and that its figures are those of the table."""

from __future__ import annotations

import polars as pl

from nofx_pipelines.nas.space import SearchSpace
from nofx_pipelines.report.networks import network_page

SPACE = SearchSpace(features=3)
SPEC = SPACE.decode([1] * len(SPACE.decisions))


def _trials(rows: list[tuple[int, str, float | None, int, float]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "trial": trial,
                "state": state,
                "values": None if ic is None else [ic, float(size)],
                "n_params": size,
                "fidelity": fidelity,
                "genotype": [1] * len(SPACE.decisions),
                "spec": SPEC.to_json(),
            }
            for trial, state, ic, size, fidelity in rows
        ],
        schema_overrides={"values": pl.List(pl.Float64)},
    )


def test_no_search_says_so() -> None:
    assert "No network was searched" in network_page(_trials([(0, "FAIL", None, 10, 0.0)]))


def test_the_front_is_coloured_and_the_rest_is_not() -> None:
    page = network_page(
        _trials(
            [
                (0, "COMPLETE", 0.02, 300, 0.3),
                (1, "COMPLETE", 0.05, 900, 0.3),
                (2, "COMPLETE", 0.04, 100, 0.3),
            ]
        )
    )
    assert page.count('<circle class="b"') == 2
    assert page.count('<circle class="d"') == 1
    assert "No finalist completed" in page


def test_the_best_finalist_is_written_out_node_by_node() -> None:
    page = network_page(
        _trials(
            [
                (0, "COMPLETE", 0.02, 300, 0.3),
                (1, "COMPLETE", 0.123, 300, 1.0),
                (2, "COMPLETE", 0.1, 300, 1.0),
            ]
        )
    )
    assert SPEC.arch_hash[:12] in page
    assert "0.123" in page
    assert all(f"<td>{node.name}</td>" in page for node in SPEC.nodes)
