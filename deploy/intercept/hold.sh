#!/bin/sh
# Interception as a process: up, until it is told to stop, then down. For containers; systemd has a unit of its own.
set -eu
down() {
  trap - TERM INT
  postern intercept down
  exit 0
}
trap down TERM INT
postern intercept up
# wait is interrupted by a signal, sleep alone would not be.
while :; do
  sleep 3600 &
  wait $!
done
