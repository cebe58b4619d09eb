"""A mail server that is not ours: STARTTLS_PORT TLS_PORT CERT_FILE KEY_FILE USER PASSWORD."""

import asyncio
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

starttls_port, tls_port, cert, key, user, password = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)


class Handler:
    """Takes no mail."""


def authenticate(_server, _session, _envelope, _mechanism, data):
    right = (data.login, data.password) == (user.encode(), password.encode())
    return AuthResult(success=right, handled=False)


def starttls():
    return SMTP(Handler(), hostname="mail.test", tls_context=context, authenticator=authenticate)


def tls():
    return SMTP(Handler(), hostname="mail.test", auth_require_tls=False, authenticator=authenticate)


async def serve():
    loop = asyncio.get_running_loop()
    await loop.create_server(starttls, "127.0.0.1", int(starttls_port))
    await loop.create_server(tls, "127.0.0.1", int(tls_port), ssl=context)
    await asyncio.Event().wait()


asyncio.run(serve())
