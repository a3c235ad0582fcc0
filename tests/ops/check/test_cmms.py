"""The CMMS, as far as check asks it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.model import CmmsRecord
from shared.errors import Throttled, Unavailable
from shared.flows.operate.check import Level
from tests.fakes import document_mapping
from tests.ops.check.parts import bad, findings, world
from tests.ops.conftest import Organization


class Cmms:
    """A CMMS with one page of records, or with a failure."""

    requests = 0

    def __init__(self, *names: str, failure: Exception | None = None) -> None:
        self._names = names
        self._failure = failure

    async def by_key(self, _entity: Any, _keys: Any) -> dict[str, Any]:
        if self._failure is not None:
            raise self._failure
        return {}

    async def pages(self, _entity: Any) -> AsyncIterator[list[CmmsRecord]]:
        yield [CmmsRecord("1", "e", dict.fromkeys(self._names))] if self._names else []


async def test_a_mapped_field_that_the_cmms_does_not_know_is_an_error(organization: Organization) -> None:
    await organization.provision()
    entities = document_mapping().entities
    names = {name for one in entities.values() for name in one.fields}
    assert bad(await findings(world(organization, cmms=Cmms(*names)))) == []
    assert bad(await findings(world(organization, cmms=Cmms()))) == [], "no record, no evidence"
    (finding,) = bad(await findings(world(organization, cmms=Cmms(*(names - {"numero_de_serie"})))))
    assert (finding.level, finding.subject) == (Level.ERROR, "activos")
    assert "numero_de_serie" in finding.message


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (Throttled("The CMMS asked us to slow down.", retry_after=timedelta(seconds=7)), "check again in 7 s"),
        (Unavailable("The CMMS answered 503.", status=503), "a failure of its own"),
        (Unavailable("The CMMS gave no answer."), "is CMMS_BASE_URL right"),
    ],
)
async def test_the_advice_fits_the_failure(organization: Organization, failure: Exception, says: str) -> None:
    await organization.provision()
    for finding in bad(await findings(world(organization, cmms=Cmms(failure=failure)))):
        assert says in finding.action
