#!/usr/bin/env bash
# Runs a command in an environment with TFX: environment.sh pytest -m tfx
#
# Airflow, which cannot be installed together with TFX, is beside it, in $IKELOS_TEST_AIRFLOW.
# TFX needs glibc 2.39. Where the system has it, the environment is .venv-tfx. Elsewhere it is in a Debian 13 root in
# $IKELOS_TFX_ROOT (default ~/.cache/ikelos-tfx), which debootstrap makes; this needs root. Both are kept for later runs.
set -euo pipefail
cd "$(dirname "$0")/../../.."
REPOSITORY=$PWD
CONSTRAINTS=tfx_configs/constraints.txt
AIRFLOW=tests/pipelines/tfx/airflow.txt

newest_of() { printf '%s\n' "$@" | sort -V | tail -1; }

install_here() { # the folder of the environment
  local venv=$1 stamp
  mkdir -p "$(dirname "$venv")"
  exec 9>"$venv.lock"
  flock 9
  stamp=$( (pwd; python3 --version; cat pyproject.toml $CONSTRAINTS $AIRFLOW $(find kernels/csrc CMakeLists.txt -type f | sort)) | sha256sum)
  if [ "$(cat "$venv/installed" 2>/dev/null)" != "$stamp" ]; then
    echo "Installing TFX and Ikelos into $venv: some 3 minutes"
    rm -rf "$venv" "$venv-airflow"
    python3 -m venv "$venv"
    python3 -m venv "$venv-airflow"
    "$venv/bin/pip" install --quiet --constraint $CONSTRAINTS uv
    export PATH="$venv/bin:$PATH" UV_LINK_MODE=copy
    # Nodes are often processes of their own: to import TFX takes 28 s of processor time without bytecode, 14 s with it.
    uv pip install --quiet --compile-bytecode --python "$venv/bin/python" --constraint $CONSTRAINTS \
      'tensorflow==2.21.*' scikit-build-core cmake ninja
    uv pip install --quiet --compile-bytecode --python "$venv/bin/python" --constraint $CONSTRAINTS --no-build-isolation \
      --config-settings build-dir=build/tfx --editable '.[probability,pipelines,serving,tfx,object-stores,tfx-test,dev]'
    uv pip install --quiet --compile-bytecode --python "$venv-airflow/bin/python" --requirements $AIRFLOW
    printf '%s\n' "$stamp" > "$venv/installed"
  fi
  exec 9>&-
}

if [ "${1:-}" = --here ]; then
  install_here "$2"
  IKELOS_TEST_AIRFLOW="$2-airflow" PATH="$2/bin:$PATH" exec "${@:3}"
fi

GLIBC=$(getconf GNU_LIBC_VERSION | grep -oE '[0-9.]+$')
if [ "$(newest_of "$GLIBC" 2.39)" = "$GLIBC" ]; then
  exec "$0" --here "$REPOSITORY/.venv-tfx" "$@"
fi

ROOT=${IKELOS_TFX_ROOT:-$HOME/.cache/ikelos-tfx}
if [ ! -e "$ROOT/complete" ]; then
  [ "$(id -u)" = 0 ] || { echo "The Debian 13 root for TFX (this system has glibc $GLIBC) must be made by root." >&2; exit 1; }
  command -v debootstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq debootstrap >/dev/null; }
  echo "Making a Debian 13 root in $ROOT: some 2 minutes"
  rm -rf "$ROOT"
  mkdir -p "$ROOT"
  debootstrap --variant=minbase --include=ca-certificates,g++,git,python3,python3-dev,python3-venv trixie "$ROOT" \
    >"$ROOT.log" 2>&1 || { tail -20 "$ROOT.log" >&2; exit 1; }
  touch "$ROOT/complete"
fi
# The network settings of this system, at every run: they may have changed.
for file in /etc/pip.conf /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
  [ ! -e "$file" ] || cp "$file" "$ROOT$file"
done
# In a mount namespace of its own, so that no mount outlives the command.
exec unshare --mount bash -euc '
  mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"; mount -t tmpfs tmpfs "$1/tmp"
  mkdir -p "$1$2"; mount --bind "$2" "$1$2"
  exec chroot "$1" "$2/tests/pipelines/tfx/environment.sh" --here /venv "${@:3}"
' - "$ROOT" "$REPOSITORY" "$@"
