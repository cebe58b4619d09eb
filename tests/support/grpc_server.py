"""A gRPC health server that is not ours: PORT TLS_PORT CERT_FILE KEY_FILE."""

import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port, tls_port, cert, key = sys.argv[1:]
STATUS = health_pb2.HealthCheckResponse
servicer = health.HealthServicer()
servicer.set("", STATUS.SERVING)
servicer.set("serving", STATUS.SERVING)
servicer.set("not-serving", STATUS.NOT_SERVING)
servicer.set("unknown", STATUS.UNKNOWN)

server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port(f"127.0.0.1:{port}")
with open(key, "rb") as key_file, open(cert, "rb") as cert_file:
    pair = (key_file.read(), cert_file.read())
server.add_secure_port(f"localhost:{tls_port}", grpc.ssl_server_credentials([pair]))
server.start()
server.wait_for_termination()
