"""A gRPC health client that is not ours: PORT check|watch NAME, or PORT list; a line a status."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

port, method, *names = sys.argv[1:]
STATUS = health_pb2.HealthCheckResponse.ServingStatus
stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
try:
    if method == "list":
        statuses = stub.List(health_pb2.HealthListRequest(), timeout=60).statuses
        for name in sorted(statuses):
            print(f"{name}={STATUS.Name(statuses[name].status)}")
    elif method == "check":
        answer = stub.Check(health_pb2.HealthCheckRequest(service=names[0]), timeout=60)
        print(STATUS.Name(answer.status))
    else:
        for answer in stub.Watch(health_pb2.HealthCheckRequest(service=names[0]), timeout=120):
            print(STATUS.Name(answer.status), flush=True)
except grpc.RpcError as error:
    print(error.code().name)
