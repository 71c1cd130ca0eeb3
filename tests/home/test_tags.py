"""Who may charge."""

from datetime import UTC, datetime, timedelta

import pytest

from ocpp_addon.errors import GatewayError
from ocpp_addon.home.tags import SEEN_LIMIT, SeenTag, Tag, Tags, Verdict
from tests.home.conftest import NOW, OpenCentral

HOUR = timedelta(hours=1)


def seen(tags: Tags) -> list[SeenTag]:
    return [tag for tag in tags.all() if isinstance(tag, SeenTag)]


@pytest.mark.parametrize(
    ("policy", "id_tag", "status"),
    [
        ("accept", "ok", "Accepted"),
        ("accept", "stranger", "Accepted"),
        ("accept", "", "Accepted"),
        ("accept", None, "Accepted"),
        ("accept", "blocked", "Blocked"),
        ("accept", "old", "Expired"),
        ("list", "ok", "Accepted"),
        ("list", "OK", "Accepted"),
        ("list", "stranger", "Unknown"),
        ("list", "", "Unknown"),
        ("list", None, "Unknown"),
        ("list", "blocked", "Blocked"),
        ("list", "BLOCKED", "Blocked"),
        ("list", "old", "Expired"),
        ("list", "invalid", "Invalid"),
        ("list", "old blocked", "Blocked"),
        ("list", "soon", "Accepted"),
    ],
)
async def test_policies(
    open_central: OpenCentral, policy: str, id_tag: str | None, status: str
) -> None:
    tags = (await open_central(policy)).tags
    await tags.put("Ok", Tag("Ok"))
    await tags.put("blocked", Tag("blocked", "Blocked"))
    await tags.put("invalid", Tag("invalid", "Invalid"))
    await tags.put("old", Tag("old", expiry=NOW))
    await tags.put("old blocked", Tag("old blocked", "Blocked", expiry=NOW - HOUR))
    await tags.put("soon", Tag("soon", expiry=NOW + HOUR))
    assert tags.decide(id_tag, NOW).status == status


async def test_a_list_survives_a_restart(open_central: OpenCentral) -> None:
    tag = Tag("Card", "Accepted", "Anna's card", "family", NOW + HOUR)
    first = (await open_central("list")).tags
    await first.put(tag.id_tag, tag)
    await first.put("gone", Tag("gone"))
    assert await first.delete("GONE")
    assert not await first.delete("gone")

    second = (await open_central("list")).tags
    assert second.all() == [tag]
    assert second.decide("cARD", NOW) == Verdict("Accepted", "family", NOW + HOUR)
    assert second.decide("gone", NOW).status == "Unknown"


async def test_a_year_with_too_few_digits_does_not_stop_the_next_start(
    open_central: OpenCentral,
) -> None:
    tag = Tag("Card", expiry=datetime(27, 1, 31, tzinfo=UTC))  # a slip of the finger
    await (await open_central("list")).tags.put(tag.id_tag, tag)
    assert (await open_central("list")).tags.all() == [tag]


async def test_an_entry_is_replaced_whatever_its_case(open_central: OpenCentral) -> None:
    tags = (await open_central()).tags
    await tags.put("card", Tag("card"))
    await tags.put("CARD", Tag("CARD", "Blocked"))
    assert tags.all() == [Tag("CARD", "Blocked")]


@pytest.mark.parametrize(
    "tag",
    [
        Tag(""),
        Tag("x" * 256),
        Tag("card", parent="p" * 21),
        Tag("card", "ConcurrentTx"),  # type: ignore[arg-type]
    ],
)
async def test_unusable_entries_are_refused(open_central: OpenCentral, tag: Tag) -> None:
    tags = (await open_central()).tags
    with pytest.raises(GatewayError):
        await tags.put(tag.id_tag, tag)
    assert tags.all() == []


async def test_the_list_is_bounded(
    open_central: OpenCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocpp_addon.home.tags.LIST_LIMIT", 2)
    tags = (await open_central()).tags
    await tags.put("one", Tag("one"))
    await tags.put("two", Tag("two"))
    with pytest.raises(GatewayError, match="full"):
        await tags.put("three", Tag("three"))
    await tags.put("ONE", Tag("ONE", "Blocked"))  # changing an entry needs no room
    assert tags.all() == [Tag("ONE", "Blocked"), Tag("two")]


async def test_unknown_tags_are_remembered_until_listed(open_central: OpenCentral) -> None:
    central = await open_central("list")
    central.tags.saw("one", "garage", NOW)
    central.tags.saw("two", "garage", NOW)
    central.tags.saw("ONE", "yard", NOW + HOUR)
    central.tags.saw("", "yard", NOW)
    central.tags.saw(None, "yard", NOW)
    central.tags.saw("x" * 256, "yard", NOW)
    latest = seen(central.tags)[0]
    assert [tag.id_tag for tag in seen(central.tags)] == ["ONE", "two"]
    assert (latest.charger_id, latest.first_at, latest.last_at) == ("yard", NOW, NOW + HOUR)
    await central.close()

    tags = (await open_central("list")).tags
    assert seen(tags) == seen(central.tags)
    await tags.put("one", Tag("one"))
    assert [tag.id_tag for tag in seen(tags)] == ["two"]
    tags.saw("One", "garage", NOW)
    assert [tag.id_tag for tag in seen(tags)] == ["two"]
    assert [tag.id_tag for tag in seen((await open_central("list")).tags)] == ["two"]


async def test_seen_tags_are_bounded(open_central: OpenCentral) -> None:
    central = await open_central()
    for number in range(SEEN_LIMIT + 10):
        central.tags.saw(f"tag {number}", "garage", NOW + timedelta(seconds=number))
    assert len(seen(central.tags)) == SEEN_LIMIT
    assert seen(central.tags)[-1].id_tag == "tag 10"
    await central.close()
    assert len(seen((await open_central()).tags)) == SEEN_LIMIT


async def test_tags_for_the_api(open_central: OpenCentral) -> None:
    tags = (await open_central()).tags
    await tags.put("card", Tag("card", "Blocked", "Anna", "family", NOW))
    tags.saw("other", "garage", NOW)
    assert [tag.as_json() for tag in tags.all()] == [
        {
            "idTag": "card",
            "status": "Blocked",
            "name": "Anna",
            "parent": "family",
            "expiry": "2026-11-24T17:00:00.000Z",
        },
        {
            "idTag": "other",
            "status": "Unknown",
            "charger": "garage",
            "first_seen": "2026-11-24T17:00:00.000Z",
            "last_seen": "2026-11-24T17:00:00.000Z",
        },
    ]
    assert await tags.delete("OTHER")
    assert await tags.delete("card")
    assert tags.all() == []
