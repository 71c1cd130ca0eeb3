import asyncio

from ocpp_addon.endpoint.turnstile import Turnstile


async def test_some_at_a_time_pass_in_order_and_others_get_their_turns_in_between() -> None:
    turnstile = Turnstile(at_once=2)
    passed: list[int] = []
    for number in range(5):
        turnstile.enter(lambda number=number: passed.append(number))  # type: ignore[misc]
    seen = []
    while len(turnstile):
        await asyncio.sleep(0)
        seen.append(list(passed))
    assert seen == [[0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4]]


async def test_whoever_gives_up_holds_nobody_up() -> None:
    turnstile = Turnstile(at_once=1)
    first, second = (asyncio.create_task(turnstile.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(10):
        await second
    assert first.cancelled()
    turnstile.enter(lambda: None)  # the line has emptied: it starts again
    async with asyncio.timeout(10):
        await turnstile.wait()


async def test_whoever_stumbles_holds_up_nobody_else() -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    line = Turnstile(1)
    passed = []
    line.enter(lambda: passed.append(1 // 0))
    line.enter(lambda: passed.append(2))
    await line.wait()
    assert passed == [2]
