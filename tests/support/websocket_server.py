"""A WebSocket server that is not ours: PORT TLS_PORT CERT_FILE KEY_FILE USER PASSWORD."""

import asyncio
import ssl
import sys

from websockets.asyncio.server import basic_auth, serve

port, tls_port, cert, key, user, password = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
authenticate = basic_auth(realm="tests", credentials=(user, password))


async def handle(socket):
    path = socket.request.path
    if path == "/full":
        await socket.close(1013, "come back later")
    elif path == "/trace":
        await socket.send(socket.request.headers.get("traceparent", "none"))
    elif path == "/long":
        await socket.send("a" * 2**21)
    async for message in socket:
        await socket.send(message)


async def process(socket, request):
    if request.path == "/private":
        return await authenticate(socket, request)
    if request.path == "/forbidden":
        return socket.respond(403, "no\n")
    return None


def choose(_socket, subprotocols):
    return "chat" if "chat" in subprotocols else None


async def main():
    options = {"process_request": process, "subprotocols": ["chat"], "select_subprotocol": choose}
    await serve(handle, "127.0.0.1", int(port), **options)
    await serve(handle, "127.0.0.1", int(tls_port), ssl=context, **options)
    await asyncio.Event().wait()


asyncio.run(main())
