from ocpp_addon.endpoint.throttle import Throttle


def test_blocks_past_the_limit_for_the_penalty() -> None:
    throttle = Throttle(limit=3, window=60, penalty=30)
    for now in (0, 1, 2):
        throttle.count("a", now)
    assert throttle.blocked("a", 2) == 0
    throttle.count("a", 3)
    assert throttle.blocked("a", 3) == 30
    assert throttle.blocked("a", 32.5) == 0.5
    assert throttle.blocked("a", 33) == 0
    assert throttle.blocked("b", 3) == 0


def test_starts_anew_after_the_penalty() -> None:
    throttle = Throttle(limit=1, window=60, penalty=10)
    throttle.count("a", 0)
    throttle.count("a", 1)
    throttle.count("a", 11)
    assert throttle.blocked("a", 11) == 0


def test_events_during_a_block_do_not_prolong_it() -> None:
    throttle = Throttle(limit=1, window=60, penalty=10)
    for now in range(9):
        throttle.count("a", now)
    assert throttle.blocked("a", 9) == 2


def test_events_leave_the_window() -> None:
    throttle = Throttle(limit=2, window=60, penalty=10)
    for now in range(0, 600, 30):
        throttle.count("a", now)
        assert throttle.blocked("a", now) == 0
    throttle.count("a", 571)
    assert throttle.blocked("a", 571) > 0


def test_success_forgives() -> None:
    throttle = Throttle(limit=1, window=60, penalty=10)
    throttle.count("a", 0)
    throttle.count("a", 1)
    throttle.forget("a")
    throttle.forget("unheard of")
    assert throttle.blocked("a", 2) == 0


def test_remembers_a_bounded_number_of_keys_the_last_used_ones() -> None:
    throttle = Throttle(limit=1, window=60, penalty=100, size=2)
    throttle.count("a", 0)
    throttle.count("b", 0)
    throttle.count("a", 1)
    throttle.count("c", 2)
    throttle.count("b", 3)  # forgotten meanwhile: its first event
    assert throttle.blocked("b", 3) == 0
    for key in range(10_000):
        throttle.count(key, 4)
    assert len(throttle._records) == 2
