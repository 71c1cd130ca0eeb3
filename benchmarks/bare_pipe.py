"""The yardstick: charger -> MQTT -> charger with bare aiohttp and aiomqtt, and no logic at all.

usage: bare_pipe.py HTTP_PORT MQTT_PORT
"""

import asyncio
import json
import socket
import sys

import aiomqtt
from aiohttp import WSMsgType, web

NODELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)


async def main(http_port: int, mqtt_port: int) -> None:
    """Serve until the process is ended."""
    sockets: dict[str, web.WebSocketResponse] = {}

    async with aiomqtt.Client(
        "127.0.0.1", mqtt_port, socket_options=NODELAY, max_inflight_messages=100
    ) as client:
        client.pending_calls_threshold = 1_000_000

        async def serve(request: web.Request) -> web.WebSocketResponse:
            charger_id = request.match_info["id"]
            websocket = web.WebSocketResponse(protocols=("ocpp1.6",), compress=False)
            await websocket.prepare(request)
            sockets[charger_id] = websocket
            async for message in websocket:
                if message.type is WSMsgType.TEXT:
                    kind, unique_id, action, payload = json.loads(message.data)
                    fields = {
                        "MessageTypeId": kind,
                        "UniqueId": unique_id,
                        "Action": action,
                        "Payload": payload,
                    }
                    topic = f"ocpp/cp/{charger_id}/{action}"
                    await client.publish(topic, json.dumps(fields).encode(), qos=1)
            return websocket

        app = web.Application()
        app.router.add_get("/ocpp/{id}", serve)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", http_port).start()
        await client.subscribe("ocpp/+/+/+", qos=1)
        async for message in client.messages:
            _, charger_id, kind, _ = message.topic.value.split("/")
            if kind == "Reply" and isinstance(message.payload, bytes):
                fields = json.loads(message.payload)
                frame = json.dumps([3, fields["UniqueId"], fields["Payload"]])
                await sockets[charger_id].send_str(frame)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
