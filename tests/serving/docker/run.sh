#!/usr/bin/env bash
# Renders a deployment of two models, starts it with Docker Compose and sends it the requests of test_server.py.
set -euo pipefail
cd "$(dirname "$0")/../../.."
if ! docker info >/dev/null 2>&1; then
  echo "== make serving-docker LEFT OUT: there is no Docker engine"
  exit 0
fi
folder=$(mktemp -d)
stop() {
  docker compose --project-directory "$folder/deployment" down --volumes || true
  rm -rf "$folder"
}
trap stop EXIT
chmod 755 "$folder"  # for the user of the containers
.venv/bin/python tests/serving/docker/models.py "$folder/models"
.venv/bin/ikelos deploy render "$folder/models/scores" "$folder/models/lm" --to "$folder/deployment" \
  --name ikelos-serving-test --set serving.poll_seconds=1 "$@"
docker compose --project-directory "$folder/deployment" up --detach --wait
IKELOS_SERVING_MODELS="$folder/models" IKELOS_SERVING_DEPLOYMENT="$folder/deployment" \
  IKELOS_SERVING_REST=127.0.0.1:8501 IKELOS_SERVING_GRPC=127.0.0.1:8500 IKELOS_SERVING_PROXY=127.0.0.1:8080 \
  .venv/bin/pytest tests/serving/docker
