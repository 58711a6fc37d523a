#!/bin/bash
# The health check of a container: asks the service for /health, in milliseconds, with nothing but bash.
#   postern-health [FILE]       FILE: what `postern SERVICE --health-file FILE` writes; default /run/postern/health
#   postern-health HOST PORT    where there is no such file
# Prints what the service says (docker inspect shows it). Exit status 0: ready; 1: not ready, or no answer.
set -u
exec 2>/dev/null # of connections that bash cannot open or loses; what matters is printed
file=${1:-/run/postern/health}
limit=4 # seconds; the service itself answers within a second or so, whatever is wrong

fail() {
  echo "$1"
  exit 1
}

host='' port=''
if (($# == 2)); then
  host=$1 port=$2
else
  read -r host port <"$file"
fi
[[ -n $host && $port =~ ^[0-9]+$ ]] || fail "the service has not started: no $file"
exec 3<>"/dev/tcp/$host/$port" || fail "nothing answers at $host port $port"
printf 'GET /health HTTP/1.0\r\nHost: %s\r\n\r\n' "$host" >&3
IFS= read -r -t "$limit" status <&3 || fail "no answer from $host port $port"

# The head ends with an empty line; the body is one line of JSON.
body=''
while IFS= read -r -t "$limit" line <&3 && [[ $line != $'\r' ]]; do :; done
IFS= read -r -t "$limit" body <&3
echo "${body:-$status}"
[[ $status =~ ^HTTP/1\.[01]\ 200 ]]
