#!/usr/bin/env python3
"""A client of Sonde's northbound API that nobody who wrote the server had a hand in: Python, with code made from the protos.

It lists the services by reflection, as `grpcurl list` does, and then calls every method of every service.

    pip install grpcio grpcio-reflection grpcio-tools
    python3 northbound.py --api 127.0.0.1:4950 --protos ../../../proto

It changes the settings (and changes them back): do not run it against a probe that matters.
"""

import argparse
import importlib
import pathlib
import sys
import tempfile
import time

import grpc
from google.protobuf import field_mask_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

SERVICES = [
    "sonde.v1.ConfigService",
    "sonde.v1.ExportersService",
    "sonde.v1.FlowsService",
    "sonde.v1.StatusService",
]
GRPC = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
CALLED = set()


def generate(protos, out):
    """Makes the client's code from the protos."""
    files = sorted(str(p) for p in (protos / "sonde/v1").glob("*.proto"))
    include = pathlib.Path(importlib.import_module("grpc_tools").__file__).parent / "_proto"
    arguments = ["protoc", f"-I{protos}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, str(out))


def listed(channel):
    """What `grpcurl list` prints."""
    return sorted(ProtoReflectionDescriptorDatabase(channel).get_services())


def listed_v1(channel):
    """The same by version 1 of the reflection protocol, whose messages are those of v1alpha under another name."""
    call = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answer = next(call(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
    return sorted(s.name for s in answer.list_services_response.service)


def methods(channel):
    """Every method of every service of ours, by reflection alone."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    return {f"{name}.{m.name}" for name in SERVICES for m in pool.FindServiceByName(name).methods}


def call(stub, service, method, request, **options):
    CALLED.add(f"sonde.v1.{service}.{method}")
    return getattr(stub, method)(request, timeout=20, **options)


def refused(code, action):
    """Runs something that must be refused; the error."""
    try:
        action()
    except grpc.RpcError as error:
        assert error.code() == code, f"{code} was expected: {error}"
        return error
    raise AssertionError(f"{code} was expected")


def config(channel, pb, rpc):
    stub = rpc.ConfigServiceStub(channel)
    before = call(stub, "ConfigService", "Get", pb.GetConfigRequest()).desired
    print(f"config: generation {before.number}, etag {before.etag}")
    wanted = pb.Settings()
    wanted.CopyFrom(before.settings)
    wanted.live.timeouts.idle_timeout_ms = 12345
    checked = call(stub, "ConfigService", "Validate", pb.ValidateConfigRequest(settings=wanted))
    assert not checked.violations, checked
    change = pb.ApplyConfigRequest(settings=wanted, etag=before.etag, request_id="northbound-1", comment="from Python")
    applied = call(stub, "ConfigService", "Apply", change)
    assert applied.converged and applied.generation.number == before.number + 1, applied
    again = call(stub, "ConfigService", "Apply", change)
    assert again.generation.number == applied.generation.number, "a repeated request has no further effect"

    wanted.live.timeouts.idle_timeout_ms = 1
    error = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: stub.Apply(pb.ApplyConfigRequest(settings=wanted)))
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    assert b"google.rpc.BadRequest" in details and b"live.timeouts.idle_timeout_ms" in details, error

    history = call(stub, "ConfigService", "History", pb.HistoryRequest(page_size=2))
    assert [g.number for g in history.generations] == [applied.generation.number, before.number], history
    back = call(stub, "ConfigService", "Rollback", pb.RollbackRequest(number=before.number))
    assert back.converged
    now = stub.Get(pb.GetConfigRequest(), timeout=20)
    assert now.desired.settings == before.settings and now.converged


def status(channel, pb, rpc):
    stub = rpc.StatusServiceStub(channel)
    one = call(stub, "StatusService", "Get", pb.GetStatusRequest())
    print(f"status: {pb.DataplaneState.Name(one.state)}, {len(one.workers)} workers, received {one.balance.received}")
    assert one.state == pb.DATAPLANE_STATE_RUNNING and one.workers and one.balance.balances, one
    stream = call(stub, "StatusService", "Watch", pb.WatchStatusRequest(interval_ms=100))
    seen = [next(stream).status.time.ToNanoseconds() for _ in range(3)]
    assert seen == sorted(set(seen)), "snapshots follow each other"
    stream.cancel()


def flows(channel, pb, rpc):
    stub = rpc.FlowsServiceStub(channel)
    stream = call(stub, "FlowsService", "Tail", pb.TailRequest(limit=5))
    tail = [flow for answer in stream for flow in answer.flows]
    assert len(tail) == 5 and all(f.flow_id and f.source_address for f in tail), tail
    print(f"flows: {tail[0].source_address} > {tail[0].destination_address}, {tail[0].octets} octets")
    bad = pb.TailRequest(filter=pb.FlowFilter(address="nonsense"))
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: next(stub.Tail(bad)))
    top = call(stub, "FlowsService", "Top", pb.TopRequest(by="source", limit=3))
    assert top.total.flows >= 5 and top.entries and top.entries[0].octets >= top.entries[-1].octets, top
    print(f"top: {top.entries[0].value} with {top.entries[0].octets} octets")


def exporters(channel, pb, rpc):
    stub = rpc.ExportersServiceStub(channel)
    name = "exporters/northbound"
    exporter = pb.Exporter(name=name, address="192.0.2.1:4739")
    added = call(stub, "ExportersService", "Add", pb.AddExporterRequest(exporter=exporter))
    assert added.converged and added.exporter.transport == "udp", added
    listed_now = call(stub, "ExportersService", "List", pb.ListExportersRequest())
    assert name in [e.name for e in listed_now.exporters], listed_now
    changed = pb.Exporter(name=name, enabled=False)
    mask = field_mask_pb2.FieldMask(paths=["enabled"])
    update = call(stub, "ExportersService", "Update", pb.UpdateExporterRequest(exporter=changed, update_mask=mask, etag=added.etag))
    assert not update.exporter.enabled and update.exporter.address == "192.0.2.1:4739", update
    counters = call(stub, "ExportersService", "Stats", pb.ExporterStatsRequest(name=name))
    assert counters.exporters[0].state == "disabled", counters
    call(stub, "ExportersService", "Remove", pb.RemoveExporterRequest(name=name))
    refused(grpc.StatusCode.NOT_FOUND, lambda: stub.Remove(pb.RemoveExporterRequest(name=name)))


def health(channel):
    """grpc.health.v1 without a package of its own: string field 1 in, enum field 1 out."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
    for service in ["", *SERVICES, "dataplane"]:
        text = service.encode()
        for _ in range(50):
            answer = check(b"\x0a" + bytes([len(text)]) + text if text else b"", timeout=20)
            if answer == b"\x08\x01":
                break
            # The dataplane may have been found a moment ago.
            time.sleep(0.1)
        assert answer == b"\x08\x01", f"{service!r} is not SERVING: {answer}"
    refused(grpc.StatusCode.NOT_FOUND, lambda: check(b"\x0a\x01x", timeout=20))
    print("health: SERVING")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--api", default="127.0.0.1:4950")
    parser.add_argument("--protos", type=pathlib.Path, default=pathlib.Path(__file__).parents[3] / "proto")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as out, grpc.insecure_channel(arguments.api) as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        services = listed(channel)
        print("\n".join(services))
        assert services == sorted([*SERVICES, *GRPC]), services
        assert services == listed_v1(channel), "both versions of the reflection protocol list the same"
        generate(arguments.protos, pathlib.Path(out))
        config_pb = importlib.import_module("sonde.v1.config_pb2")
        modules = {n: (importlib.import_module(f"sonde.v1.{n}_pb2"), importlib.import_module(f"sonde.v1.{n}_pb2_grpc"))
                   for n in ["config", "status", "flows", "exporters"]}
        health(channel)
        config(channel, *modules["config"])
        status(channel, *modules["status"])
        flows(channel, *modules["flows"])
        modules["exporters"][0].Exporter = config_pb.Exporter
        exporters(channel, *modules["exporters"])
        missing = methods(channel) - CALLED
        assert not missing, f"never called: {missing}"
    print("every method of every service answered")


if __name__ == "__main__":
    main()
