#!/bin/sh
# The gateway of the lab: finds the addresses that its configuration (postern.yaml) needs, and runs it.
set -eu
addressOf() {
  until found=$(getent ahostsv4 "$1"); do sleep 1; done
  printf '%s\n' "${found%% *}"
}
LAB_DNS=$(addressOf lab-dns)
LAB_PROTECTED=$(addressOf lab-protected)
LAB_TWO=$(addressOf lab-two)
# All containers of the lab. Docker's networks have 8 bits for hosts or more, and all of the lab are beside each other.
LAB_NETWORK=${LAB_DNS%.*}.0/24
export LAB_DNS LAB_PROTECTED LAB_TWO LAB_NETWORK
exec postern up --log text
