#!/bin/bash
# Builds the product's images and those of the tests with buildah, as localhost/NAME:TAG.
#
#   images.sh [TAG [PROGRAM...]]     default: test, all three programs
#
# Needs scripts/deps cluster, and the base image (kubernetes/base.sh) where no registry is reached.
# All come from one copy of the tree, so edits meanwhile cost no second compilation and mix nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
TAG=${1:-test}
PROGRAMS=("${@:2}")
[ ${#PROGRAMS[@]} -gt 0 ] || PROGRAMS=(doorman-gateway doorman-admin doorman)

image() { # name, arguments of buildah
    local name=$1
    shift
    echo "== $name"
    buildah bud --isolation chroot --pull=false --layers -t "localhost/$name:$TAG" "$@"
}

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --ignore-failed-read --files-from=- 2>/dev/null | tar --extract -C "$tree"
ferretdb=$(./scripts/ferretdb)
cd "$tree"

for program in "${PROGRAMS[@]}"; do
    case $program in
    doorman-gateway) from=(-f Dockerfile.gateway) ;;
    doorman-admin) from=(-f Dockerfile.admin) ;;
    doorman) from=(-f Dockerfile.admin --target doorman) ;;
    esac
    image "$program" --build-arg "PROGRAMS=${PROGRAMS[*]}" "${from[@]}" .
done
image doorman-test-tools -f tests/cluster/images/Dockerfile.tools tests/cluster
image doorman-example-orders -f examples/orders/Dockerfile examples/orders
image doorman-test-ferretdb -f tests/cluster/images/Dockerfile.ferretdb "$(dirname "$ferretdb")"
