"""What connections leave behind, which only a search through everything would free."""

import gc
import weakref
from pathlib import Path

from tests.support.patience import until
from tests.support.stand import stand
from tests.support.wire import wire


async def test_a_lost_connection_is_freed_without_a_search(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        gc.collect()
        gc.disable()
        try:
            async with wire(one.port) as charger:
                await charger.send(b'[2,"1","Heartbeat",{}]')
                await charger.receive()
                websocket = weakref.ref(one.gateway.roster.connections["CP1"]._channel._websocket)
                assert websocket() is not None
            await until(lambda: one.gateway.roster.connection("CP1") is None)
            await until(lambda: websocket() is None)
        finally:
            gc.enable()
