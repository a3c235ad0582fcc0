"""One thing broken at a time, and what check says about it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from local.emulators.dataverse.schema import Column, ColumnType, KeyStatus, Option, Write
from shared.adapters.ledger import SqliteLedger
from shared.domain.model import CmmsRecord
from shared.errors import NotAuthorized, Throttled, Unavailable
from shared.flows.operate.check import Checker, Finding, Level
from shared.flows.operate.check.live import Expected, Identity, World
from shared.flows.operate.parked import Probe, Survey, Taken, Waiting
from shared.flows.reconcile.checkpoint import BrakeState, release_brake
from tests.fakes import document_mapping
from tests.ops.conftest import APPLICATION, HEADER, ORGANIZATION, SECRET, URL, Organization

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class QuietQueues:
    """Queues that work; those in `absent` do not exist, `oldest` waits on parked."""

    def __init__(
        self, absent: str | None = None, oldest: datetime | None = None, surveys: dict[str, Survey] | None = None
    ) -> None:
        self._absent = absent
        self._oldest = oldest
        self._surveys = surveys or {}

    async def probe(self, queue: str) -> Probe:
        if queue == self._absent:
            raise Unavailable(f"There is no queue {queue}: create it in the namespace.")
        if queue in self._surveys:
            return Probe(self._surveys[queue].oldest, 0.01)
        return Probe(self._oldest if queue == "parked" else None, 0.01)

    async def survey(self, queue: str, at_most: int = 5000) -> Survey:
        if queue in self._surveys:
            return self._surveys[queue]
        return Survey(1, oldest=self._oldest) if queue == "parked" and self._oldest else Survey()

    async def peek(self, queue: str) -> AsyncIterator[list[Waiting]]:
        pages: list[list[Waiting]] = []
        for page in pages:
            yield page

    async def take(self, queue: str, wanted: Collection[int]) -> Any:
        nothing: list[Taken] = []
        for one in nothing:
            yield one


async def signed_in() -> Identity:
    return Identity("admin@contoso.com", "tenant-1", ORGANIZATION)


def world(organization: Organization, **changes: Any) -> World:
    expected = Expected(
        resource_url=ORGANIZATION,
        organization=None,
        application=APPLICATION,
        header=HEADER,
        secrets=(SECRET,),
        url=URL,
        mapping_file="document.toml",
        cmms_url="",
    )
    own = {name: value for name, value in changes.items() if name in vars(expected)}
    if "organization_id" in changes:
        own["organization"] = changes.pop("organization_id")
    ledger = SqliteLedger(":memory:")
    parts: dict[str, Any] = {
        "expected": replace(expected, **own),
        "mapping": document_mapping(),
        "platform": organization.platform,
        "queues": QuietQueues(),
        "ledger": ledger,
        "state": ledger,
        "cmms": None,
        "sign_in": signed_in,
        "now": lambda: NOW,
    }
    return World(**(parts | {name: value for name, value in changes.items() if name not in own}))


async def findings(world: World) -> list[Finding]:
    found = [finding async for finding in Checker(world).run()]
    assert isinstance(world.ledger, SqliteLedger)
    world.ledger.close()
    return found


def bad(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.level is not Level.OK]


async def test_after_provision_everything_is_ok(organization: Organization) -> None:
    await organization.provision()
    found = await findings(world(organization))
    assert bad(found) == []
    assert any("admin@contoso.com, tenant tenant-1" in finding.message for finding in found)


async def test_before_provision_it_says_what_to_run(organization: Organization) -> None:
    found = bad(await findings(world(organization)))
    assert {finding.subject for finding in found if finding.level is Level.ERROR} == {
        "alternate key on msdyn_assetnumber",
        "alternate key on name",
        "cmms_operation",
        "Energy CMMS sync",
    }
    assert all("provision" in finding.action for finding in found)


def asset(organization: Organization) -> Any:
    return organization.dataverse.tables["msdyn_customerasset"].table


def order(organization: Organization) -> Any:
    return organization.dataverse.tables["salesorder"].table


def change_column(name: str, **values: Any) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        tables = (order(organization), asset(organization))
        column = next(table.columns[name] for table in tables if name in table.columns)
        for attribute, value in values.items():
            setattr(column, attribute, value)

    return change


def without_column(organization: Organization) -> None:
    del asset(organization).columns["msdyn_serialid"]


def other_type(organization: Organization) -> None:
    asset(organization).columns["msdyn_acquisitioncost"] = Column("msdyn_acquisitioncost", ColumnType.STRING)


def key_pending(organization: Organization) -> None:
    asset(organization).keys["cmms_AssetKey"].status = KeyStatus.PENDING


def key_failed(organization: Organization) -> None:
    asset(organization).keys["cmms_AssetKey"].status = KeyStatus.FAILED


def stamp_of(**values: Any) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        asset(organization).columns["cmms_operation"] = Column("cmms_operation", **{"type": ColumnType.STRING} | values)

    return change


def secured(name: str, *uses: str) -> Callable[[Organization], None]:
    """Secure a column of the asset; the application user keeps these uses."""

    def change(organization: Organization) -> None:
        asset(organization).columns[name].permissions = {APPLICATION: frozenset(uses)}

    return change


def tracking_off(organization: Organization) -> None:
    order(organization).change_tracking = False


def concurrency_off(organization: Organization) -> None:
    order(organization).optimistic_concurrency = False


def no_option(organization: Organization) -> None:
    column = order(organization).columns["statuscode"]
    column.options = tuple(option for option in column.options if option.value != 100001)


def option_of_another_state(organization: Organization) -> None:
    column = order(organization).columns["statuscode"]
    column.options = tuple(Option(3, "In Progress", 0) if one.value == 3 else one for one in column.options)


def new_option(organization: Organization) -> None:
    column = order(organization).columns["statuscode"]
    column.options = (*column.options, Option(777, "New one", 0))


def deny(*privileges: str) -> Callable[[Organization], None]:
    def change(organization: Organization) -> None:
        user = organization.dataverse.users[APPLICATION]
        organization.dataverse.put_user(replace(user, denied=frozenset(privileges)))

    return change


def disabled(organization: Organization) -> None:
    organization.dataverse.put_user(replace(organization.dataverse.users[APPLICATION], disabled=True))


def no_user(organization: Organization) -> None:
    organization.dataverse.remove_user(APPLICATION)


async def synchronous(organization: Organization) -> None:
    await patch_step(organization, {"mode": 0})


async def narrow(organization: Organization) -> None:
    await patch_step(organization, {"filteringattributes": "msdyn_name"})


async def off(organization: Organization) -> None:
    await patch_step(organization, {"statecode": 1, "statuscode": 2})


async def no_step(organization: Organization) -> None:
    step = await some_step(organization)
    await organization.client.delete(f"sdkmessageprocessingsteps({step})")


async def patch_step(organization: Organization, body: dict[str, Any]) -> None:
    step = await some_step(organization)
    response = await organization.client.patch(f"sdkmessageprocessingsteps({step})", json=body)
    assert response.status_code == 204


async def some_step(organization: Organization) -> str:
    steps = await organization.client.get(
        "sdkmessageprocessingsteps", params={"$filter": "name eq 'Update of msdyn_customerasset to Energy CMMS'"}
    )
    return str(steps.json()["value"][0]["sdkmessageprocessingstepid"])


@pytest.mark.parametrize(
    ("break_it", "level", "subject", "says"),
    [
        (without_column, Level.ERROR, "msdyn_serialid", "does not exist"),
        (other_type, Level.ERROR, "msdyn_acquisitioncost", "is String, and the field valor_adquisicion is decimal"),
        (change_column("msdyn_serialid", max_length=40), Level.ERROR, "msdyn_serialid", "takes 40 characters"),
        (change_column("msdyn_acquisitioncost", precision=0), Level.ERROR, "msdyn_acquisitioncost", "keeps 0 decimals"),
        (change_column("msdyn_assetnumber", max_length=10), Level.ERROR, "msdyn_assetnumber", "takes 10 characters"),
        (
            change_column("msdyn_acquisitiondate", type=ColumnType.DATETIME),
            Level.ERROR,
            "msdyn_acquisitiondate",
            "would shift by a day",
        ),
        (change_column("totalamount", on_update=Write.REFUSED), Level.ERROR, "totalamount", "read-only"),
        (change_column("totalamount", on_create=Write.REFUSED), Level.WARNING, "totalamount", "a second write"),
        (
            change_column("overriddencreatedon", on_create=Write.IGNORED),
            Level.ERROR,
            "overriddencreatedon",
            "cannot be set when a row is created",
        ),
        (key_pending, Level.ERROR, "alternate key on msdyn_assetnumber", "is Pending"),
        (key_failed, Level.ERROR, "alternate key on msdyn_assetnumber", "is Failed"),
        (stamp_of(max_length=36), Level.ERROR, "cmms_operation", "takes 36 characters, and the operation stamp needs"),
        (stamp_of(type=ColumnType.INTEGER), Level.ERROR, "cmms_operation", "is Integer, and the operation stamp is"),
        (stamp_of(on_update=Write.IGNORED), Level.ERROR, "cmms_operation", "read-only"),
        (secured("cmms_operation"), Level.ERROR, "cmms_operation", "may not read or update or create it"),
        (secured("msdyn_serialid", "read"), Level.ERROR, "msdyn_serialid", "may not update or create it"),
        (secured("msdyn_serialid", "update", "create"), Level.ERROR, "msdyn_serialid", "may not read it"),
        (tracking_off, Level.WARNING, "change tracking", "off"),
        (concurrency_off, Level.ERROR, "optimistic concurrency", "off"),
        (no_option, Level.ERROR, "statuscode", "has no option 100001, to which RECIBIDA is mapped"),
        (option_of_another_state, Level.ERROR, "statuscode", "belongs to state 0, not 1"),
        (new_option, Level.WARNING, "statuscode", "options 777 are not in the mapping"),
        (deny("Create:salesorder"), Level.ERROR, "salesorder", "lacks prvCreatesalesorder"),
        (deny("OverrideCreatedOnCreatedBy"), Level.ERROR, "salesorder", "lacks prvOverrideCreatedOnCreatedBy"),
        (
            change_column("msdyn_acquisitiondate", type=ColumnType.INTEGER),
            Level.ERROR,
            "msdyn_acquisitiondate",
            "is Integer, and the field fecha_adquisicion is date",
        ),
        (change_column("createdon", type=ColumnType.DATE), Level.ERROR, "createdon", "a date without a time"),
        (
            change_column("msdyn_acquisitioncost", type=ColumnType.INTEGER),
            Level.ERROR,
            "msdyn_acquisitioncost",
            "keeps no decimals",
        ),
        (disabled, Level.ERROR, "application user", "is disabled"),
        (no_user, Level.ERROR, "application user", "no application user has the client id"),
        (synchronous, Level.ERROR, "step Update of msdyn_customerasset", "is synchronous"),
        (narrow, Level.ERROR, "step Update of msdyn_customerasset", "does not watch msdyn_acquisitioncost"),
        (off, Level.ERROR, "step Update of msdyn_customerasset", "is disabled"),
        (no_step, Level.ERROR, "step Update of msdyn_customerasset", "is not registered"),
    ],
)
async def test_one_broken_thing_is_one_finding_that_says_what_to_do(
    organization: Organization,
    break_it: Callable[[Organization], Awaitable[None] | None],
    level: Level,
    subject: str,
    says: str,
) -> None:
    await organization.provision()
    broken = break_it(organization)
    if broken is not None:
        await broken
    (finding,) = bad(await findings(world(organization)))
    assert (finding.level, finding.subject) == (level, subject)
    assert says in finding.message
    assert finding.action


async def test_a_secured_column_that_the_user_may_use_is_no_finding(organization: Organization) -> None:
    await organization.provision()
    secured("msdyn_serialid", "read", "update", "create")(organization)
    asset(organization).columns["msdyn_assettag"].permissions = {}  # not mapped
    assert bad(await findings(world(organization))) == []


async def test_create_multiple_that_is_missing_costs_time_only(organization: Organization) -> None:
    await organization.provision()
    rows = organization.dataverse.tables["sdkmessagefilter"]
    for row in [row for row in rows if row.values["name"] == "CreateMultiple of salesorder"]:
        rows.remove(row.id)
    (finding,) = bad(await findings(world(organization)))
    assert (finding.level, finding.subject) == (Level.WARNING, "CreateMultiple")


async def test_a_table_that_does_not_exist_is_said_and_the_rest_goes_on(organization: Organization) -> None:
    await organization.provision()
    del organization.dataverse.tables["salesorder"]
    found = bad(await findings(world(organization)))
    assert [(one.area, one.subject) for one in found] == [("salesorder", "table")]


@pytest.mark.parametrize(
    ("secrets", "level", "says"),
    [
        (("a-rotated-secret-of-now",), Level.ERROR, "carries another secret"),
        (("a-rotated-secret-of-now", SECRET), Level.WARNING, "before the last rotation"),
    ],
)
async def test_a_rotated_secret_is_told_without_showing_it(
    organization: Organization, secrets: tuple[str, ...], level: Level, says: str
) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, secrets=secrets)))
    assert (finding.level, finding.subject) == (level, "Energy CMMS sync")
    assert says in finding.message
    assert not any(secret in str(finding) for secret in (*secrets, SECRET))


async def test_a_registration_that_calls_another_address_is_an_error(organization: Organization) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, url="https://other.example/hook")))
    assert "not https://other.example/hook" in finding.message


async def test_an_endpoint_registered_by_hand_leaves_its_secret_unknown(organization: Organization) -> None:
    await organization.provision()
    (endpoint,) = (await organization.client.get("serviceendpoints")).json()["value"]
    path = f"serviceendpoints({endpoint['serviceendpointid']})"
    await organization.client.patch(path, json={"description": None})
    (finding,) = bad(await findings(world(organization)))
    assert (finding.level, "cannot be known" in finding.message) == (Level.WARNING, True)


async def test_a_wrong_organization_id_is_an_error(organization: Organization) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, organization_id=UUID(int=5))))
    assert "every webhook of this organization is refused" in finding.message
    assert str(organization.dataverse.organization.id) in finding.action


async def test_an_absent_queue_is_named(organization: Organization) -> None:
    await organization.provision()
    (finding,) = bad(await findings(world(organization, queues=QuietQueues(absent="orders"))))
    assert (finding.area, finding.subject) == ("service bus", "orders")
    assert "ServiceBusConnection__fullyQualifiedNamespace" in finding.action


async def test_parked_messages_are_a_warning_with_their_age(organization: Organization) -> None:
    await organization.provision()
    queues = QuietQueues(oldest=NOW - timedelta(days=3))
    (finding,) = bad(await findings(world(organization, queues=queues)))
    assert (finding.level, "3 days" in finding.message) == (Level.WARNING, True)


async def test_a_token_for_another_audience_names_both_and_the_setting(organization: Organization) -> None:
    class Refusing:
        async def who_am_i(self) -> None:
            raise NotAuthorized("Dynamics refused our identity for GET /api/data/v9.2/WhoAmI.", status=401)

    async def elsewhere() -> Identity:
        return Identity("app", "tenant-1", "https://elsewhere.crm.dynamics.com")

    found = bad(await findings(world(organization, platform=Refusing(), sign_in=elsewhere)))
    assert [one.area for one in found] == ["dynamics"]
    assert "https://elsewhere.crm.dynamics.com" in found[0].action
    assert "DYNAMICS_365_RESOURCE_URL" in found[0].action


async def test_signing_in_that_fails_does_not_stop_the_other_checks(organization: Organization) -> None:
    async def failing() -> Identity:
        raise Unavailable("The identity service gave no token: ServiceRequestError.")

    broken = world(organization, sign_in=failing)
    checker = Checker(broken)
    found = [finding async for finding in checker.run()]
    broken.ledger.close()  # type: ignore[attr-defined]  # the SQLite one
    assert checker.unreachable
    assert {one.area for one in bad(found)} == {"sign-in"}
    assert {one.subject for one in found if one.area == "service bus"} == {"assets", "orders", "parked"}


async def some_endpoint(organization: Organization) -> str:
    (endpoint,) = (await organization.client.get("serviceendpoints")).json()["value"]
    return f"serviceendpoints({endpoint['serviceendpointid']})"


async def moved(organization: Organization) -> None:
    await organization.client.patch(await some_endpoint(organization), json={"url": "http://127.0.0.1:9/api/x"})


async def by_hand(organization: Organization) -> None:
    await organization.client.patch(await some_endpoint(organization), json={"description": None})


async def all_wrong(organization: Organization) -> None:
    await synchronous(organization)
    await narrow(organization)
    await off(organization)


def without_key(organization: Organization) -> None:
    asset(organization).keys.clear()


@pytest.mark.parametrize(
    "break_it", [moved, by_hand, synchronous, narrow, off, no_step, all_wrong, without_key, key_failed, tracking_off]
)
async def test_what_check_sends_to_provision_is_mended_by_provision(
    organization: Organization, break_it: Callable[[Organization], Awaitable[None] | None]
) -> None:
    await organization.provision()
    broken = break_it(organization)
    if broken is not None:
        await broken
    found = bad(await findings(world(organization)))
    assert found
    assert all("provision" in one.action for one in found)
    plan = await organization.provision()
    assert any(change.verb in {"create", "change"} for change in plan)
    assert bad(await findings(world(organization))) == []


async def test_every_fault_of_one_step_is_told_at_once(organization: Organization) -> None:
    await organization.provision()
    await all_wrong(organization)
    (finding,) = bad(await findings(world(organization)))
    for part in ("is synchronous", "is disabled", "does not watch msdyn_acquisitioncost"):
        assert part in finding.message


async def test_a_step_that_provision_did_not_make_is_not_sent_to_provision(organization: Organization) -> None:
    await organization.provision()
    step = await some_step(organization)
    copied = (await organization.client.get(f"sdkmessageprocessingsteps({step})")).json()
    body = {
        "name": "Somebody else's", "mode": 1, "stage": 40, "rank": 1,
        "sdkmessageid@odata.bind": f"sdkmessages({copied['_sdkmessageid_value']})",
        "sdkmessagefilterid@odata.bind": f"sdkmessagefilters({copied['_sdkmessagefilterid_value']})",
        "eventhandler_serviceendpoint@odata.bind": await some_endpoint(organization),
    }  # fmt: skip
    answer = await organization.client.post("sdkmessageprocessingsteps", json=body)
    assert answer.status_code == 204, answer.text
    (finding,) = bad(await findings(world(organization)))
    assert "is registered 2 times" in finding.message
    assert "by hand" in finding.action


@pytest.mark.parametrize("queue", ["assets", "orders", "parked"])
async def test_dead_letters_are_an_error_with_their_number_and_age(organization: Organization, queue: str) -> None:
    await organization.provision()
    queues = QuietQueues(surveys={queue: Survey(dead=21, oldest_dead=NOW - timedelta(hours=3))})
    (finding,) = bad(await findings(world(organization, queues=queues)))
    assert (finding.level, finding.subject) == (Level.ERROR, queue)
    assert "21 dead letters, the oldest for 3 hours" in finding.message


@pytest.mark.parametrize(("minutes", "concern"), [(1, False), (40, True)])
async def test_a_backlog_is_told_with_its_count_and_a_warning_from_a_quarter_of_an_hour(
    organization: Organization, minutes: int, concern: bool
) -> None:
    await organization.provision()
    queues = QuietQueues(surveys={"assets": Survey(16_999, 1, oldest=NOW - timedelta(minutes=minutes))})
    found = await findings(world(organization, queues=queues))
    (line,) = [one for one in found if one.subject == "assets"]
    assert "holds 17,000 messages" in line.message
    assert (line.level is Level.WARNING) is concern


async def test_the_brake_is_an_error_until_somebody_released_it(organization: Organization) -> None:
    await organization.provision()
    state = SqliteLedger(":memory:")
    brake = BrakeState(held=750, ledger_rows=2000, since=NOW)
    await state.put_state({"reconcile/brake": brake.model_dump_json()})
    (finding,) = bad(await findings(world(organization, state=state)))
    assert "holds 750 repairs" in finding.message
    assert "--release-brake" in finding.action
    await release_brake(state, "Ana")
    assert bad(await findings(world(organization, state=state))) == []
    state.close()


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
