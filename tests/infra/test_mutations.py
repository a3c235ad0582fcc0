"""The rules have teeth: each weakening of the templates is found. Two evaluations hold them all."""

from pathlib import Path

import pytest

from tests.infra import bicep, mutations, network, quiet_mutations, rules, values, watching
from tests.infra.mutations import Mutation
from tests.infra.rules import Rule

PUBLIC = [*mutations.PUBLIC, *quiet_mutations.PUBLIC]
PRIVATE = [*mutations.PRIVATE, *quiet_mutations.PRIVATE]


def mutate(folder: Path, wanted: list[Mutation]) -> Path:
    """A copy of infra/ with all these mutations."""
    copy = bicep.copy(folder)
    # A mutation leaves parameters unused, and that is not what is to find it.
    (copy / "bicepconfig.json").write_text('{"analyzers": {"core": {"enabled": false}}}', encoding="utf-8")
    for file, old, new, _ in wanted:
        path = copy / "modules" / f"{file}.bicep"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return copy


def violations(
    resources: list[bicep.Resource], checked: tuple[Rule, ...], grants: set[tuple[str, str, str]]
) -> list[str]:
    return [line for rule in checked for line in rule(resources)] + list(rules.granted(resources, grants))


ALWAYS: tuple[Rule, ...] = (rules.no_keys, rules.encrypted, rules.secrets_kept, rules.kept, rules.queues_of_the_code)
ALL_PUBLIC: tuple[Rule, ...] = (
    *(*ALWAYS, values.platform_settings, values.compute, values.scale, values.tiers, values.callers),
    *(watching.metric_alerts, watching.log_alerts, watching.availability, watching.calls_people),
)
ALL_PRIVATE: tuple[Rule, ...] = (values.tiers, network.closed, network.reached_privately)
FULL_GRANTS = rules.APP_GRANTS | rules.SCALER_GRANTS | rules.CMMS_GRANTS | rules.OPERATOR_GRANTS


@pytest.fixture(scope="module")
def found_in_public(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = mutate(tmp_path_factory.mktemp("public"), PUBLIC)
    return violations(bicep.snapshot(folder, bicep.FULL), ALL_PUBLIC, FULL_GRANTS)


@pytest.fixture(scope="module")
def found_in_private(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = mutate(tmp_path_factory.mktemp("private"), PRIVATE)
    return violations(bicep.snapshot(folder, bicep.PRIVATE), ALL_PRIVATE, rules.APP_GRANTS | rules.OPERATOR_GRANTS)


@pytest.mark.parametrize("violation", [mutation[-1] for mutation in PUBLIC])
def test_a_weakened_public_installation_is_found(found_in_public: list[str], violation: str) -> None:
    assert [line for line in found_in_public if violation in line]


@pytest.mark.parametrize("violation", [mutation[-1] for mutation in PRIVATE])
def test_a_weakened_private_installation_is_found(found_in_private: list[str], violation: str) -> None:
    assert [line for line in found_in_private if violation in line]


def test_none_of_them_is_found_where_nothing_was_weakened(
    full: list[bicep.Resource], private: list[bicep.Resource]
) -> None:
    mutated = [mutation[-1] for mutation in (*PUBLIC, *PRIVATE)]
    lines = violations(full, ALL_PUBLIC, FULL_GRANTS)
    lines += violations(private, ALL_PRIVATE, rules.APP_GRANTS | rules.OPERATOR_GRANTS)
    assert [line for line in lines for violation in mutated if violation in line] == []
