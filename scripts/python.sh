#!/usr/bin/env bash
# Prints a Python that has the gRPC packages the client tests need: the system's, or one in target/python made from PyPI.
# Prints "python3" when neither can be had; the test that needs it then says that it is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

able() { "$1" -c 'import grpc, grpc_reflection, grpc_tools' 2>/dev/null; }

own=${CARGO_TARGET_DIR:-target}/python
if able python3; then
    echo python3
elif able "$own/bin/python3"; then
    echo "$(realpath "$own")/bin/python3"
elif python3 -m venv "$own" >&2 && "$own/bin/pip" install --quiet grpcio grpcio-tools grpcio-reflection >&2 && able "$own/bin/python3"; then
    echo "$(realpath "$own")/bin/python3"
else
    echo "no gRPC for Python to be had here: the Python client's test will be skipped" >&2
    echo python3
fi
