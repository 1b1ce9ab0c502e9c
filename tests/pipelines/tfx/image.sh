#!/usr/bin/env bash
# Builds the image of tfx_configs/kubeflow/Dockerfile and runs the tests of Kubeflow in it, as an ordinary user.
#
# Needs the right to be root, the wheel (`make wheel`) and buildah, but no container engine. Where the registry of the
# Python image cannot be reached, debootstrap makes a base like it: Debian 13 with Python 3.13 and pip. The image stays
# as localhost/ikelos in the storage of buildah.
set -euo pipefail
cd "$(dirname "$0")/../../.."
REPOSITORY=$PWD
BASE=docker.io/library/python:3.13-slim-trixie
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs

for command in buildah debootstrap; do
  command -v $command >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends $command >/dev/null; }
done

base_from_debian() {
  local root container
  root=$(mktemp -d)
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-dev,python3-pip trixie "$root" >"$root.log" 2>&1 \
    || { tail -20 "$root.log" >&2; exit 1; }
  ln -s python3 "$root/usr/bin/python"
  rm "$root"/usr/lib/python3*/EXTERNALLY-MANAGED  # the Python image has none
  for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e "$file" ] || cp "$file" "$root$file"
  done
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / >/dev/null
  buildah config --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
  buildah commit --quiet --rm "$container" localhost/ikelos-base >/dev/null
  rm -rf "$root" "$root.log"
}

if ! buildah pull --quiet "$BASE" >/dev/null 2>&1; then
  echo "$BASE cannot be pulled: taking a base that debootstrap makes"
  buildah inspect --type image localhost/ikelos-base >/dev/null 2>&1 || base_from_debian
  BASE=localhost/ikelos-base
fi

SECONDS=0
log=$(mktemp)
buildah build --pull-never --build-arg PYTHON_IMAGE="$BASE" --ignorefile tfx_configs/kubeflow/Dockerfile.dockerignore \
  --file tfx_configs/kubeflow/Dockerfile --tag localhost/ikelos . >"$log" 2>&1 || { tail -40 "$log" >&2; exit 1; }
rm "$log"
echo "The image was built in $SECONDS s: $(buildah images --format '{{.Size}}' localhost/ikelos)"

container=$(buildah from --pull-never localhost/ikelos)
trap 'buildah rm "$container" >/dev/null' EXIT
buildah run "$container" -- uv pip install --quiet --system --constraint /tmp/constraints.txt pytest hypothesis 'moto[server]'
buildah run --user 1000:1000 --volume "$REPOSITORY:$REPOSITORY:ro" --workingdir "$REPOSITORY" "$container" -- \
  pytest -p no:cacheprovider -m tfx tests/pipelines/tfx/test_kubeflow.py "$@"
