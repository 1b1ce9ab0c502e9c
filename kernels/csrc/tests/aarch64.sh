#!/usr/bin/env bash
# Builds the core and its C++ tests for 64-bit ARM, and runs them in an emulator. The compiler and the emulator are
# Debian's; as root, this installs them if they are missing. Needs cmake and ctest on the PATH.
set -euo pipefail
cd "$(dirname "$0")/../../.."

if ! { command -v aarch64-linux-gnu-g++ && command -v qemu-aarch64; } >/dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo 'Missing: apt-get install g++-aarch64-linux-gnu qemu-user' >&2
    exit 1
  fi
  apt-get update -qq
  apt-get install -y -qq g++-aarch64-linux-gnu qemu-user
fi

cmake -S . -B build/aarch64 --toolchain kernels/csrc/tests/aarch64.cmake \
  -DIKELOS_BUILD_OPS=OFF -DIKELOS_BUILD_TESTS=ON -DIKELOS_WARNINGS_ARE_ERRORS=ON
cmake --build build/aarch64 --parallel 2
ctest --test-dir build/aarch64 --parallel 2 --output-on-failure
