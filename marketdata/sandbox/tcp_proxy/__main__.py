"""The proxy as a process of its own, driven over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal

import orjson
from aiohttp import web

from marketdata.sandbox.tcp_proxy.proxy import Place, Proxy, Target


def control_of(proxy: Proxy) -> web.Application:
    """POST /toxic sets one, DELETE /toxic clears it or all, GET /status tells."""

    async def toxic(request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read() or b"{}")
            await (proxy.set if request.method == "POST" else proxy.clear)(**body)
        except (ValueError, TypeError) as exc:
            return web.json_response({"error": str(exc)}, status=400)
        return web.json_response(proxy.status())

    async def status(request: web.Request) -> web.Response:
        return web.json_response(proxy.status())

    app = web.Application()
    app.add_routes(
        [web.post("/toxic", toxic), web.delete("/toxic", toxic), web.get("/status", status)]
    )
    return app


async def _main(listen: Place, target: Target, control: Place, seed: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    proxy = Proxy(target, listen, seed)
    await proxy.up()
    runner = web.AppRunner(control_of(proxy), access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, *control).start()
    ready = {"ready": True, "port": proxy.listen[1], "control": runner.addresses[0][1]}
    print(json.dumps(ready), flush=True)  # noqa: T201 - what whoever started it reads
    await stop.wait()
    await proxy.down()
    proxy.close()
    await runner.cleanup()


def _target(text: str) -> Target:
    return text if text.startswith("/") else _place(text)


def _place(text: str) -> Place:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A TCP proxy that makes a good network bad.")
    parser.add_argument("--listen", type=_place, default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--to", type=_target, required=True, metavar="HOST:PORT or PATH")
    parser.add_argument("--control", type=_place, default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(_main(given.listen, given.to, given.control, given.seed))
