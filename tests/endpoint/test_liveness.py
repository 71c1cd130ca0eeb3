from ocpp_addon.endpoint.liveness import Liveness


def ticks(liveness: Liveness, start: int, end: int) -> list[tuple[int, str]]:
    return [(now, due) for now in range(start, end) if (due := liveness.tick(now))]


def test_pings_in_its_interval_whatever_is_heard() -> None:
    liveness = Liveness(30, 300, now=0)
    due = []
    for now in range(100):
        liveness.heard(now)
        due += ticks(liveness, now, now + 1)
    assert due == [(30, "ping"), (60, "ping"), (90, "ping")]


def test_one_that_answered_a_ping_is_gone_after_three_ping_intervals() -> None:
    liveness = Liveness(30, 300, now=0)
    liveness.ponged(31)
    assert next(now for now, due in ticks(liveness, 31, 130) if due == "gone") == 121


def test_one_that_never_answered_is_gone_after_three_heartbeat_intervals() -> None:
    liveness = Liveness(30, 300, now=0)
    liveness.heard(10)
    assert next(now for now, due in ticks(liveness, 10, 950) if due == "gone") == 910


def test_frames_alone_keep_one_that_answered_a_ping() -> None:
    liveness = Liveness(30, 300, now=0)
    liveness.ponged(30)
    for now in range(31, 1000, 89):
        assert liveness.tick(now) != "gone"
        liveness.heard(now)


def test_pongs_alone_keep_it() -> None:
    liveness = Liveness(30, 10, now=0)
    liveness.ponged(29)
    for now in range(30, 5000, 30):
        assert liveness.tick(now) != "gone"
        liveness.ponged(now)


def test_without_pings_heartbeats_judge() -> None:
    liveness = Liveness(0, 100, now=0)
    assert ticks(liveness, 0, 301) == [(300, "gone")]


def test_without_any_interval_nobody_is_judged() -> None:
    assert ticks(Liveness(0, 0, now=0), 0, 10_000) == []


def test_the_heartbeat_interval_may_change() -> None:
    liveness = Liveness(0, 10, now=0)
    liveness.heartbeat_interval = 300
    assert liveness.tick(899) is None
    assert liveness.tick(900) == "gone"
