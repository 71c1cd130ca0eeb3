"""Time the round trip charger -> MQTT -> responder -> charger against the bare pipe.

usage: round_trip.py [--rounds N] [--seconds S] [--chargers N] [--default-broker]

Gateway and yardstick run in turn, in processes of their own, against the same Mosquitto and the
same chargers; what counts are the ratios of one run, as machines differ and are noisy.
`--default-broker` leaves Nagle's algorithm on in Mosquitto, as Home Assistant's broker does.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import aiomqtt

HERE = Path(__file__).resolve().parent
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin") or "mosquitto"
NODELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
SAMPLES = [
    {"value": "21.40", "measurand": "Current.Import", "unit": "A", "phase": "L1"},
    {"value": "1234567", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
]
PAYLOAD = {
    "connectorId": 1,
    "transactionId": 1,
    "meterValue": [{"timestamp": "2026-11-24T10:00:00Z", "sampledValue": SAMPLES}],
}


@dataclass(frozen=True)
class Figures:
    """What one round gave: milliseconds of a lone charger, round trips a second of many."""

    p50: float
    p99: float
    rate: float
    cpu: float  # microseconds of the process per round trip, with many chargers


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(port: int) -> None:
    """Wait until something listens on a port."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program for a while."""
    running = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
            await running.wait()


@asynccontextmanager
async def mosquitto(folder: Path, nodelay: bool) -> AsyncIterator[int]:
    """Run a broker and yield its port."""
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence false"]
    file = folder / "mosquitto.conf"
    file.write_text("\n".join([*lines, "set_tcp_nodelay true" if nodelay else "", ""]))
    async with process(MOSQUITTO, "-c", str(file)):
        await listening(port)
        yield port


@asynccontextmanager
async def gateway(folder: Path, mqtt_port: int) -> AsyncIterator[tuple[int, int]]:
    """Run the gateway and yield its port and process id."""
    port = free_port()
    options = {
        "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
        "host": "127.0.0.1",
        "port": port,
        "web_port": 0,
        "unknown_chargers": "accept",
        "central_system": "external",
        "answer_timeout": 0,
        "log_level": "warning",
    }
    file = folder / "options.json"
    file.write_text(json.dumps(options))
    command = (sys.executable, "-m", "ocpp_addon", "run", "--options", str(file))
    async with process(*command, "--data", str(folder / "data")) as running:
        await listening(port)
        yield port, running.pid


@asynccontextmanager
async def bare_pipe(mqtt_port: int) -> AsyncIterator[tuple[int, int]]:
    """Run the yardstick and yield its port and process id."""
    port = free_port()
    command = (sys.executable, str(HERE / "bare_pipe.py"), str(port), str(mqtt_port))
    async with process(*command) as running:
        await listening(port)
        yield port, running.pid


async def respond(mqtt_port: int, ready: asyncio.Event) -> None:
    """Answer every MeterValues, publishing and subscribing on connections of their own."""

    class Inbox(asyncio.Queue[aiomqtt.Message]):
        """Hand messages on without a task for each."""

        def put_nowait(self, message: aiomqtt.Message) -> None:
            assert isinstance(message.payload, bytes)
            unique_id = json.loads(message.payload)["UniqueId"]
            charger_id = message.topic.value.split("/")[2]
            answer = {"MessageTypeId": 3, "UniqueId": unique_id, "Payload": {}}
            topic = f"ocpp/{charger_id}/Reply/MeterValues"
            publisher._client.publish(topic, json.dumps(answer).encode(), 1)

    options = {"socket_options": NODELAY, "max_inflight_messages": 1000}
    async with (
        aiomqtt.Client("127.0.0.1", mqtt_port, **options) as publisher,  # type: ignore[arg-type]
        aiomqtt.Client("127.0.0.1", mqtt_port, queue_type=Inbox, **options) as subscriber,  # type: ignore[arg-type]
    ):
        await subscriber.subscribe("ocpp/cp/+/MeterValues", qos=1)
        ready.set()
        async for _ in subscriber.messages:
            pass


async def trips(port: int, charger_id: str, deadline: float, most: int) -> list[float]:
    """Send MeterValues one after the other; return how many seconds each answer took."""
    taken: list[float] = []
    frame = json.dumps(PAYLOAD, separators=(",", ":"))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://127.0.0.1:{port}/ocpp/{charger_id}", protocols=("ocpp1.6",)
        ) as websocket,
    ):
        while len(taken) < most and time.monotonic() < deadline:
            began = time.perf_counter()
            await websocket.send_str(f'[2,"{len(taken)}","MeterValues",{frame}]')
            await websocket.receive(timeout=20)
            taken.append(time.perf_counter() - began)
    return taken


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(port: int, pid: int, seconds: float, chargers: int) -> Figures:
    """Measure one charger alone, then many at once."""
    await trips(port, "warm", time.monotonic() + 5, 50)
    alone = sorted(await trips(port, "alone", time.monotonic() + seconds, 500))
    before, began = cpu_seconds(pid), time.monotonic()
    many = await asyncio.gather(
        *(trips(port, f"c{number}", began + seconds, 10**9) for number in range(chargers))
    )
    count, elapsed = sum(map(len, many)), time.monotonic() - began
    return Figures(
        statistics.median(alone) * 1e3,
        alone[int(len(alone) * 0.99)] * 1e3,
        count / elapsed,
        (cpu_seconds(pid) - before) / count * 1e6,
    )


async def main() -> None:
    """Run the rounds and print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--chargers", type=int, default=50)
    parser.add_argument("--default-broker", action="store_true")
    wanted = parser.parse_args()
    results: dict[str, list[Figures]] = {"bare pipe": [], "gateway": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with mosquitto(folder, not wanted.default_broker) as mqtt_port:
            ready = asyncio.Event()
            responder = asyncio.create_task(respond(mqtt_port, ready))
            await ready.wait()
            for _ in range(wanted.rounds):
                async with bare_pipe(mqtt_port) as (port, pid):
                    figures = await measure(port, pid, wanted.seconds, wanted.chargers)
                    results["bare pipe"].append(figures)
                async with gateway(folder, mqtt_port) as (port, pid):
                    await asyncio.sleep(1.5)  # until it has found the broker
                    figures = await measure(port, pid, wanted.seconds, wanted.chargers)
                    results["gateway"].append(figures)
            responder.cancel()
            await asyncio.wait({responder})
    print(f"{'':12}{'p50 ms':>9}{'p99 ms':>9}{'trips/s':>9}{'CPU us':>9}")
    medians = {}
    for name, rounds in results.items():
        values = [[one.p50, one.p99, one.rate, one.cpu] for one in rounds]
        medians[name] = [statistics.median(column) for column in zip(*values, strict=True)]
        print(f"{name:12}" + "".join(f"{value:9.2f}" for value in medians[name]))
    ratios = [a / b for a, b in zip(medians["gateway"], medians["bare pipe"], strict=True)]
    print(f"{'ratio':12}" + "".join(f"{ratio:9.2f}" for ratio in ratios))


if __name__ == "__main__":
    asyncio.run(main())
