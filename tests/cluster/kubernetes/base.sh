#!/bin/bash
# Makes the base image localhost/debian:trixie-slim, by debootstrap from the machine's own mirror,
# for machines that reach Debian's packages but no image registry. FROM debian:trixie-slim finds it:
#   buildah bud --isolation chroot --pull=false -t NAME:TAG -f Dockerfile.gateway .
set -euo pipefail
S=${1:-trixie}
! buildah images -q "localhost/debian:$S-slim" 2>/dev/null | grep -q . || exit 0
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
# One-line sources, deb822, then apt's own view; a missing file is no fault.
mirror=$({
    cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true
    apt-cache policy 2>/dev/null || true
} | sed -nE '/^ *#/d; s#.*(https?://[^ ]*/debian)(/? .*|/?$)#\1#p' | sed -n 1p)
[ -n "$mirror" ] || { echo "no Debian mirror in the sources of apt" >&2; exit 1; }
debootstrap --variant=minbase "$S" "$t/root" "$mirror"
c=$(buildah from scratch)
buildah add -q "$c" "$t/root" / >/dev/null
buildah commit -q "$c" "localhost/debian:$S-slim" >/dev/null
buildah rm "$c" >/dev/null
