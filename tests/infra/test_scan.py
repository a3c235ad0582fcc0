"""The scanner's findings are judged: new ones, stale acceptances, and a scan that saw nothing."""

import json
from typing import Any

from tests.infra import scan
from tests.infra.compiled import SETS

ACCEPTED = json.loads(scan.ACCEPTED.read_text(encoding="utf-8"))


def report(failed: dict[str, list[str]], passed: int = scan.FEWEST) -> dict[str, Any]:
    def check(number: str, where: str) -> dict[str, str]:
        return {"check_id": number, "check_name": "Ensure it", "resource": "x", "file_path": f"/{where}.json"}

    return {
        "results": {
            "failed_checks": [check(number, where) for number, places in failed.items() for where in places],
            "passed_checks": [check("CKV_AZURE_1", name) for name in SETS for _ in range(passed)],
        }
    }


AS_ACCEPTED = {number: entry["in"] for number, entry in ACCEPTED.items()}


def test_findings_that_are_all_accepted_are_well() -> None:
    assert scan.judge(report(AS_ACCEPTED), ACCEPTED) == []


def test_a_new_finding_is_said() -> None:
    (said,) = scan.judge(report(AS_ACCEPTED | {"CKV_AZURE_44": ["private"]}), ACCEPTED)
    assert said.startswith("CKV_AZURE_44 in private: Ensure it (x).")


def test_what_is_accepted_in_public_is_not_accepted_in_private() -> None:
    (said,) = scan.judge(report(AS_ACCEPTED | {"CKV_AZURE_59": ["private", "public"]}), ACCEPTED)
    assert said.startswith("CKV_AZURE_59 in private")


def test_an_acceptance_that_nothing_needs_any_more_is_said() -> None:
    (said,) = scan.judge(report(AS_ACCEPTED | {"CKV_AZURE_225": ["public"]}), ACCEPTED)
    assert said.startswith("CKV_AZURE_225 in private is accepted")


def test_a_scanner_that_saw_nothing_has_not_said_that_all_is_well() -> None:
    said = scan.judge(report(AS_ACCEPTED, passed=0), ACCEPTED)
    assert [line.startswith("The scanner passed only 0 checks") for line in said] == [True, True]


def test_every_acceptance_has_a_reason_and_a_place() -> None:
    for number, entry in ACCEPTED.items():
        assert number.startswith("CKV")
        assert set(entry["in"]) <= set(SETS)
        assert entry["in"]
        assert len(entry["reason"]) > 10


def test_the_scanner_gets_what_the_snapshots_show() -> None:
    for name in SETS:
        assert len(scan.template(name)["resources"]) > 50
