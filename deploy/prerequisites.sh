#!/bin/sh
# Installs the Debian packages that Postern needs beyond npm, as root or with passwordless sudo; else names them.
#   prerequisites.sh redis        redis-server, for `npm start`
#   prerequisites.sh redis lab browser    also the third-party programs of the lab tests and of those of the dashboard,
#                                         for `npm test`
# Tests without their programs are skipped; a missing redis-server is an error.
set -u

# package:program, package:@PerlModule, package:@@fonts or package:/file below a directory of /usr/lib
redis="redis-server:redis-server"
lab="postfix:smtp-sink swaks:swaks libnet-ssleay-perl:@Net::SSLeay libio-socket-inet6-perl:@IO::Socket::INET6 haproxy:haproxy nftables:nft iproute2:ip procps:sysctl sasl2-bin:saslpasswd2 libsasl2-modules:/sasl2/libplain.so libsisimai-perl:@Sisimai python3:python3 openssl:openssl msmtp:msmtp curl:curl prometheus:promtool"
browser="chromium:chromium fonts-dejavu-core:@@dejavu"

has() {
  case $1 in
    @@*) ls /usr/share/fonts/truetype/"${1#@@}" >/dev/null 2>&1 ;;
    @*) perl -M"${1#@}" -e 1 2>/dev/null ;;
    /*) ls /usr/lib/*"$1" >/dev/null 2>&1 ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 ;;
  esac
}

missing() {
  for pair in $1; do
    has "${pair#*:}" || printf '%s ' "${pair%%:*}"
  done
}

wanted=$redis
for word in "$@"; do
  [ "$word" = lab ] && wanted="$wanted $lab"
  [ "$word" = browser ] && wanted="$wanted $browser"
done

packages=$(missing "$wanted")
[ -z "$packages" ] && exit 0

if command -v apt-get >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ]; then
    as=
  elif sudo -n true 2>/dev/null; then
    as="sudo -n"
  else
    as=no
  fi
  if [ "$as" != no ]; then
    echo "postern: installing $packages" >&2
    export DEBIAN_FRONTEND=noninteractive
    # Installing must not start daemons: Postern and its tests run redis-server and postfix themselves.
    policy=/usr/sbin/policy-rc.d
    made=no
    if [ ! -e $policy ]; then
      printf '#!/bin/sh\nexit 101\n' | $as tee $policy >/dev/null && $as chmod 755 $policy && made=yes
    fi
    log=$(mktemp)
    # shellcheck disable=SC2086
    { $as apt-get update -qq && $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >"$log" 2>&1 </dev/null || tail -n 5 "$log" >&2
    rm -f "$log"
    [ "$made" = yes ] && $as rm -f $policy
  fi
fi

rest=$(missing "$wanted")
[ -n "$rest" ] && echo "postern: please install the Debian packages $rest(they are missing, and this script may not install them)" >&2
[ -z "$(missing "$redis")" ]
