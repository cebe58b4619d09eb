"""A peer that speaks MongoDB's protocol, encoded by MongoDB's own driver.

Arguments: PORT TLS_PORT CERT_FILE KEY_FILE USER PASSWORD. What it is, and what it refuses, is chosen
by the name of the application that says hello.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import ssl
import struct
import sys
from datetime import datetime, timezone

import bson

port, tls_port, cert, key, user, password = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)

OP_MSG = 2013
SALT, ITERATIONS = os.urandom(28), 15000
LIMITS = {
    "maxBsonObjectSize": 16777216,
    "maxMessageSizeBytes": 48000000,
    "maxWriteBatchSize": 100000,
    "logicalSessionTimeoutMinutes": 30,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "readOnly": False,
}
MEMBER = {
    "hosts": ["one:27017", "two:27017"],
    "setName": "rs0",
    "setVersion": 5,
    "primary": "one:27017",
    "me": "two:27017",
    "lastWrite": {"lastWriteDate": datetime(2026, 1, 1), "opTime": {"ts": bson.Timestamp(1, 1), "t": 1}},
}
ROLES = {
    "primary": {**MEMBER, "isWritablePrimary": True, "secondary": False},
    "secondary": {**MEMBER, "isWritablePrimary": False, "secondary": True},
    "arbiter": {**MEMBER, "isWritablePrimary": False, "secondary": False, "arbiterOnly": True},
    "recovering": {**MEMBER, "isWritablePrimary": False, "secondary": False},
    "uninitiated": {"isWritablePrimary": False, "secondary": False, "isreplicaset": True},
    "router": {"isWritablePrimary": True, "msg": "isdbgrid"},
    "silent about itself": {},
}
ERRORS = {
    "old": ("hello", 59, "CommandNotFound", "no such command: 'hello'"),
    "another protocol": ("hello", 59, "CommandNotFound", "no such command: 'hello'"),
    "starting": ("hello", 13436, "NotPrimaryOrSecondary", "node is not in primary or recovering state"),
    "stopping": ("ping", 91, "ShutdownInProgress", "The server is in quiesce mode"),
    "interrupted": ("ping", 11600, "InterruptedAtShutdown", "interrupted at shutdown"),
    "failing": ("ping", 1, "InternalError", "something broke"),
    "without SCRAM-SHA-256": ("saslStart", 334, "MechanismUnavailable", "Unable to use SCRAM-SHA-256"),
}

# These want a login before `ping`; the mechanisms that a user of theirs has, where they say so.
LOCKED = {
    "locked": ["SCRAM-SHA-256"],
    "long-winded": ["SCRAM-SHA-256"],
    "both": ["SCRAM-SHA-1", "SCRAM-SHA-256"],
    "older mechanism": ["SCRAM-SHA-1"],
    "silent about mechanisms": None,
}
HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}


def error(code, name, text):
    return {"ok": 0.0, "errmsg": text, "code": code, "codeName": name}


def secret(name):
    """What servers take for the password."""
    if name == "sha1":
        return hashlib.md5(f"{user}:mongo:{password}".encode()).hexdigest().encode()
    return password.encode()


class Session:
    def __init__(self):
        self.application, self.proved, self.logged_in = "", False, False

    def answer(self, command):
        name = next(iter(command))
        refused = ERRORS.get(self.application)
        if name in ("isMaster", "ismaster") and self.application == "old":
            return {"ismaster": True, **LIMITS, "ok": 1.0}
        if name in ("isMaster", "ismaster") and self.application == "another protocol":
            return error(*ERRORS[self.application][1:])
        if name in ("hello", "isMaster", "ismaster"):
            client = command.get("client", {})
            self.application = client.get("application", {}).get("name", "")
            refused = ERRORS.get(self.application)
            if not (refused and refused[0] == "hello"):
                role = ROLES.get(self.application, {"isWritablePrimary": True})
                known = LOCKED.get(self.application, ["SCRAM-SHA-256"])
                if command.get("saslSupportedMechs") == f"users.{user}" and known:
                    role = {**role, "saslSupportedMechs": known}
                return {**role, **LIMITS, "localTime": datetime.now(timezone.utc), "connectionId": 7, "ok": 1.0}
        if refused and refused[0] == name:
            return error(*refused[1:])
        if name == "saslStart":
            return self.start(command)
        if name == "saslContinue":
            return self.go_on(command)
        if name == "ping" and self.application in LOCKED and not self.logged_in:
            return error(13, "Unauthorized", "Command ping requires authentication")
        return {"ok": 1.0}

    def start(self, command):
        # MongoDB knows both, even where the user has one alone.
        known = LOCKED.get(self.application, ["SCRAM-SHA-256"]) or ["SCRAM-SHA-1"]
        if command["mechanism"] not in known or command["$db"] != "users":
            return error(18, "AuthenticationFailed", "Authentication failed.")
        self.hash = HASHES[command["mechanism"]]
        first = command["payload"].decode()
        assert first.startswith("n,,"), first
        self.first = first[3:]
        fields = dict(field.split("=", 1) for field in self.first.split(","))
        name = fields["n"].replace("=2C", ",").replace("=3D", "=")
        self.known = name == user
        self.nonce = fields["r"] + base64.b64encode(os.urandom(24)).decode()
        self.challenge = f"r={self.nonce},s={base64.b64encode(SALT).decode()},i={ITERATIONS}"
        self.skip = command.get("options", {}).get("skipEmptyExchange", False)
        return {"conversationId": 1, "done": False, "payload": self.challenge.encode(), "ok": 1.0}

    def go_on(self, command):
        assert command["conversationId"] == 1, command
        if self.proved and not self.skip:
            self.logged_in = command["payload"] == b""
            return {"conversationId": 1, "done": True, "payload": b"", "ok": 1.0}
        last = command["payload"].decode()
        without_proof, proof = last.rsplit(",p=", 1)

        def digest(key, text):
            return hmac.new(key, text, self.hash).digest()

        salted = hashlib.pbkdf2_hmac(self.hash, secret(self.hash), SALT, ITERATIONS)
        client_key = digest(salted, b"Client Key")
        said = f"{self.first},{self.challenge},{without_proof}".encode()
        signature = digest(hashlib.new(self.hash, client_key).digest(), said)
        expected = bytes(a ^ b for a, b in zip(client_key, signature))
        right = without_proof == f"c=biws,r={self.nonce}" and base64.b64decode(proof) == expected
        if not (self.known and right):
            return error(18, "AuthenticationFailed", "Authentication failed.")
        self.proved = True
        # As a server that does not know of `skipEmptyExchange`, before MongoDB 4.4.
        if self.application == "long-winded":
            self.skip = False
        self.logged_in = self.skip
        server = base64.b64encode(digest(digest(salted, b"Server Key"), said)).decode()
        return {"conversationId": 1, "done": self.skip, "payload": f"v={server}".encode(), "ok": 1.0}


async def serve(reader, writer):
    session, number = Session(), 0
    try:
        while True:
            length, request, _, code = struct.unpack("<iiii", await reader.readexactly(16))
            body = await reader.readexactly(length - 16)
            assert (code, body[:5]) == (OP_MSG, b"\0\0\0\0\0"), (code, body)
            reply = bson.encode(session.answer(bson.decode(body[5:])))
            number += 1
            header = struct.pack("<iiiiIB", 21 + len(reply), number, request, OP_MSG, 0, 0)
            writer.write(header + reply)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    await asyncio.start_server(serve, "127.0.0.1", int(port))
    await asyncio.start_server(serve, "127.0.0.1", int(tls_port), ssl=context)
    await asyncio.Event().wait()


asyncio.run(main())
