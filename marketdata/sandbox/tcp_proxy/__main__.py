"""The proxy as a process of its own, driven over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from ipaddress import ip_address

import orjson
from aiohttp import web

from marketdata.sandbox.tcp_proxy.proxy import Place, Proxy, Target

MAX_PORT = 65535


def control_of(proxy: Proxy) -> web.Application:
    """POST /toxic sets one, DELETE /toxic clears it or all, GET /status tells."""

    async def toxic(request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read() or b"{}")
            if not isinstance(body, dict) or (request.method == "POST" and "name" not in body):
                raise ValueError("A JSON object is wanted, with the name of a toxic.")
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
    if not (host and port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host, int(port)


def _own_place(text: str) -> Place:
    host, port = _place(text)
    try:
        return str(ip_address(host)), port
    except ValueError:
        raise argparse.ArgumentTypeError(f"{host!r} is not an address of this machine") from None


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says; what it cannot mean ends the process with 2."""
    parser = argparse.ArgumentParser(description="A TCP proxy that makes a good network bad.")
    parser.add_argument("--listen", type=_own_place, default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--to", type=_target, required=True, metavar="HOST:PORT or PATH")
    parser.add_argument("--control", type=_own_place, default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(words)


if __name__ == "__main__":
    given = arguments()
    try:
        asyncio.run(_main(given.listen, given.to, given.control, given.seed))
    except OSError as error:
        sys.exit(str(error))
