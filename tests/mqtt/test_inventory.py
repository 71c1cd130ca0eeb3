from ocpp_addon.mqtt.inventory import Inventory
from ocpp_addon.mqtt.outgoing import BOUNDARY, HEARTBEAT, ORDINARY, TRANSACTION


def test_it_counts_what_waits_flies_and_is_held() -> None:
    stored = Inventory()
    stored.add(1, "A", ORDINARY, 10, "waiting")
    stored.add(2, "A", BOUNDARY, 20, "flying")
    stored.add(3, "B", TRANSACTION, 30, "held")
    assert (len(stored), stored.size, stored.flying) == (3, 60, 1)
    assert (stored.due, stored.held) == ({"A": 1}, {"B": 1})
    assert stored.is_due(1)
    assert not stored.is_due(2)
    stored.change(2, "waiting")
    stored.change(3, "waiting")
    assert (stored.due, stored.held, stored.flying) == ({"A": 2, "B": 1}, {}, 0)
    assert stored.remove(2)
    assert not stored.remove(2)
    stored.change(2, "held")  # gone: nothing to note
    assert (len(stored), stored.size, stored.due) == (2, 40, {"A": 1, "B": 1})


def test_what_counts_least_goes_first_and_no_data_of_transactions() -> None:
    stored = Inventory()
    for seq, rank in enumerate((TRANSACTION, ORDINARY, HEARTBEAT, HEARTBEAT, BOUNDARY)):
        stored.add(seq, "A", rank, 1, "waiting")
    stored.change(2, "flying")
    assert stored.least(BOUNDARY, 9) == [3]
    for seq in (2, 3):
        stored.remove(seq)
    assert stored.least(HEARTBEAT, 9) == []
    assert stored.least(ORDINARY, 9) == [1]
    stored.remove(1)
    assert stored.least(BOUNDARY, 9) == []


def test_what_is_held_of_a_charger_below_a_rank() -> None:
    stored = Inventory()
    stored.add(1, "A", TRANSACTION, 1, "held")
    stored.add(2, "A", BOUNDARY, 1, "held")
    stored.add(3, "B", TRANSACTION, 1, "held")
    stored.add(4, "A", TRANSACTION, 1, "waiting")
    assert stored.held_of("A") == [1, 2]
    assert stored.held_of("A", below=BOUNDARY) == [1]
