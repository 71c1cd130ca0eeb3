"""What connections leave behind, which only a search through everything would free."""

import gc
import weakref
from pathlib import Path

from aiohttp import web

from tests.support.patience import until
from tests.support.stand import stand
from tests.support.wire import wire


async def test_a_lost_connection_is_freed_without_a_search(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        others = set(map(id, _sockets()))
        gc.disable()
        try:
            async with wire(one.port) as charger:
                await charger.send(b'[2,"1","Heartbeat",{}]')
                await charger.receive()
                (socket,) = [weakref.ref(it) for it in _sockets() if id(it) not in others]
            await until(lambda: socket() is None)
        finally:
            gc.enable()


def _sockets() -> list[web.WebSocketResponse]:
    return [one for one in gc.get_objects() if type(one) is web.WebSocketResponse]
