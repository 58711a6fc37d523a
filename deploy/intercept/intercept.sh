#!/bin/sh
# Sets interception up, and takes it down at SIGTERM or SIGINT. For containers; systemd has a unit of its own.
set -eu
down() {
  trap - TERM INT
  postern intercept down
  exit 0
}
trap down TERM INT
postern intercept up
# A signal interrupts wait, but not sleep.
while :; do
  sleep 3600 &
  wait $!
done
