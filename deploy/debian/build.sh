#!/bin/sh
# Builds a Debian package of Postern with dpkg-deb alone: `npm run package:debian`, or
#   deploy/debian/build.sh [--from DIRECTORY] [OUTPUT]
# --from: what `npm install -g` installed (PREFIX/lib/node_modules/postern); without it the repository is packed and
# installed into a temporary directory, as npm does anywhere. OUTPUT: a directory, the current one by default.
# POSTERN_DEB_COMPRESSION is given to dpkg-deb -Z: xz by default.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
repository=$(dirname "$(dirname "$here")")
from=
if [ "${1-}" = --from ]; then
  from=$2
  shift 2
fi
output=${1-.}

command -v dpkg-deb >/dev/null 2>&1 || {
  echo "build.sh: needs dpkg-deb (Debian's package dpkg)" >&2
  exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "$from" ]; then
  (cd "$repository" && npm pack --silent --pack-destination "$work" >/dev/null)
  npm install --global --prefix "$work/prefix" --no-audit --no-fund --omit=dev --ignore-scripts --silent "$work"/postern-*.tgz
  from=$work/prefix/lib/node_modules/postern
fi
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$from/package.json")
architecture=$(dpkg --print-architecture)

tree=$work/tree
mkdir -p "$tree/DEBIAN" "$tree/usr/lib/postern" "$tree/usr/bin" "$tree/usr/share/doc/postern" "$tree/etc/postern"
units=$tree/usr/lib/systemd/system
mkdir -p "$units" "$tree/usr/lib/sysusers.d" "$tree/usr/lib/tmpfiles.d"

for part in bin dist node_modules package.json; do
  cp -RP "$from/$part" "$tree/usr/lib/postern/"
done
rm -rf "$tree/usr/lib/postern/node_modules/.cache"
ln -s ../lib/postern/bin/postern "$tree/usr/bin/postern"

systemd=$from/deploy/systemd
cp "$systemd"/*.service "$systemd"/*.socket "$units/"
cp "$systemd/sysusers.conf" "$tree/usr/lib/sysusers.d/postern.conf"
cp "$systemd/tmpfiles.conf" "$tree/usr/lib/tmpfiles.d/postern.conf"
cp "$systemd/postern.yaml" "$tree/etc/postern/postern.yaml"

doc=$tree/usr/share/doc/postern
cp -R "$from/docs" "$from/README.md" "$from/SECURITY.md" "$doc/"
mkdir "$doc/examples"
cp "$systemd/hide.conf" "$doc/examples/"
cp -R "$from/deploy/grafana" "$from/deploy/prometheus" "$doc/examples/"
cp "$from/LICENSE" "$doc/copyright"
gzip -9n <"$from/CHANGELOG.md" >"$doc/changelog.gz"

chmod -R u=rwX,go=rX "$tree"
size=$(du -sk --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" "$here/control" >"$tree/DEBIAN/control"
echo /etc/postern/postern.yaml >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do
  install -m 755 "$here/$script" "$tree/DEBIAN/$script"
done
# Passwords will stand in it.
chmod 640 "$tree/etc/postern/postern.yaml"

mkdir -p "$output"
dpkg-deb --root-owner-group -Z"${POSTERN_DEB_COMPRESSION:-xz}" --build "$tree" "$output/postern_${version}_${architecture}.deb"
