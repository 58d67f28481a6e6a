#!/bin/bash
# Builds Kubernetes 1.32, etcd, CoreDNS and helm from their Go modules into $BIN
# (about 5 minutes on 2 cores the first time; nothing to do the second time). The last line is $BIN.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
BIN=${BIN:-$HOME/.cache/doorman-cluster/bin}
GO=$("$here/../../../scripts/go" 23)
mkdir -p "$BIN"
exec 9>"$BIN/.lock"
flock 9
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0
# What the programs call themselves, and for which Kubernetes helm renders without a cluster.
VERSIONS=
for name in k8s.io/component-base/version.gitVersion=v1.32.5 \
    k8s.io/component-base/version.gitMajor=1 k8s.io/component-base/version.gitMinor=32 \
    helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 \
    helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=32 \
    helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 \
    helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=32; do
    VERSIONS+=" -X $name"
done

build() { # folder, package, output name
    local wanted
    wanted=$(cat "$here/$1/go.mod" "$here/$1/go.sum" - <<<"$VERSIONS" | sha256sum)
    [ -x "$BIN/$3" ] && [ "$(cat "$BIN/.$3" 2>/dev/null)" = "$wanted" ] && return
    echo "building $3"
    (cd "$here/$1" && "$GO" build -ldflags "-s -w $VERSIONS" -o "$BIN/$3" "$2")
    echo "$wanted" >"$BIN/.$3"
}
for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    build kubernetes k8s.io/kubernetes/cmd/$c $c
done
build etcd go.etcd.io/etcd/server/v3 etcd
build coredns github.com/coredns/coredns coredns
build helm helm.sh/helm/v3/cmd/helm helm
echo "$BIN"
