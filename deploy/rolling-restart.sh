#!/bin/sh
# Restarts containers one after the other, each when the one before is healthy again: the service goes on meanwhile.
#   deploy/rolling-restart.sh ingress delivery bounce admin    of the compose project of this directory
# COMPOSE_PROJECT_NAME names another project. For a new image or configuration: docker compose up -d (docs/deploying.md).
set -eu
[ $# -gt 0 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
project=${COMPOSE_PROJECT_NAME:-$(basename "$PWD" | tr '[:upper:]' '[:lower:]' | tr -cd 'a-z0-9_-')}
limit=${POSTERN_HEALTHY_WITHIN:-300} # seconds
# As long as stop_grace_period.
grace=75

for service in "$@"; do
  containers=$(docker ps --quiet --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$service")
  [ -n "$containers" ] || { echo "no container of $service runs in the project $project" >&2; exit 1; }
  for container in $containers; do
    docker restart --time $grace "$container" >/dev/null
    waited=0
    until [ "$(docker inspect --format '{{.State.Health.Status}}' "$container")" = healthy ]; do
      [ $waited -lt "$limit" ] || { echo "$service $container is not healthy: stopping here" >&2; exit 1; }
      sleep 1
      waited=$((waited + 1))
    done
    echo "$service $container is healthy again"
  done
done
