"""Known defects of some versions: outside them the case must pass, inside them it may not."""

import pytest
from builders import case, judge, observation
from pydantic import ValidationError

from evals.case import KnownDefect
from evals.results import KNOWN_DEFECT, Record, Status

DEFECT = {"profiles": ["default"], "reason": "it is lost", "versions": "MLX_lm >=0.32.0,<0.33"}
LOST = case({"answer": {"contains": ("yes",)}}, known_defects=[DEFECT])


@pytest.mark.parametrize(
    ("version", "content", "status", "advice"),
    [
        ("0.32.2", "no", Status.KNOWN, False),
        ("0.32.2", "yes", Status.PASS, True),
        ("0.31.3", "no", Status.FAIL, False),
        ("0.31.3", "yes", Status.PASS, False),
        ("0.33.0rc1", "no", Status.FAIL, False),
        ("0.32.3.dev1", "no", Status.KNOWN, False),
        (None, "no", Status.KNOWN, False),
        (None, "yes", Status.PASS, True),
    ],
)
def test_inside_and_outside(version, content, status, advice):
    packages = {"mlx-lm": version} if version else {}
    judged = judge(LOST, observation(content=content), packages=packages)
    assert judged.status == status
    assert any(v.check == KNOWN_DEFECT for v in judged.verdicts) == advice


def test_a_case_names_the_packages_that_matter():
    assert LOST.told_apart_by == {"mlx-lm"}
    assert case().told_apart_by == frozenset()


def test_of_several_defects_the_one_of_this_version_applies():
    older = {**DEFECT, "reason": "another", "versions": "mlx-lm <0.32"}
    both = case(known_defects=[DEFECT, older])
    assert both.defect("default", "server", {"mlx-lm": "0.31.3"}).reason == "another"
    assert both.defect("default", "server", {"mlx-lm": "0.32.2"}).reason == "it is lost"


@pytest.mark.parametrize(
    "versions",
    ["mlx-lm", ">=0.32.0", "mlx-lm >=x", "mlx-lm[cpu] >=1", "mlx-lm>=1; python_version>'3'"],
)
def test_what_names_no_versions_is_rejected(versions):
    with pytest.raises(ValidationError, match="give a package and its versions, such as 'mlx-lm"):
        KnownDefect(profiles=("default",), reason="r", versions=versions)


def test_records_keep_the_versions_and_read_without_them():
    from builders import record

    kept = record(LOST, observation(content="no"), packages={"mlx-lm": "0.31.3"})
    assert Record.from_json(kept.to_json()) == kept
    assert '"packages"' not in record(LOST, observation(content="no")).to_json()
