#!/bin/bash
# Builds Kubernetes 1.32, etcd, CoreDNS and helm from their Go modules into $BIN (docs/testing.md
# says how long the first time takes; nothing to do the second time). The last line is $BIN.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
BIN=${BIN:-$HOME/.cache/doorman-cluster/bin}
GO=$("$here/../../../scripts/go" 23)
mkdir -p "$BIN"
exec 9>"$BIN/.lock"
flock 9
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0
# One module and one command: what the programs have in common is downloaded and compiled once.
NAMES=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
PROGRAMS=("${NAMES[@]/#/k8s.io/kubernetes/cmd/}" go.etcd.io/etcd/server/v3 ./coredns
          helm.sh/helm/v3/cmd/helm)
NAMES+=(etcd coredns helm)
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

built() {
    local name
    for name in "${NAMES[@]}"; do [ -x "$BIN/$name" ] || return; done
    [ "$(cat "$BIN/.built" 2>/dev/null)" = "$wanted" ]
}

cd "$here"
wanted=$(cat build.sh go.mod go.sum coredns/main.go | sha256sum)
if ! built; then
    rm -f "$BIN/.built"
    "$GO" version
    "$GO" build -gcflags=all=-dwarf=false -ldflags "-s -w $VERSIONS" -o "$BIN/" "${PROGRAMS[@]}"
    mv "$BIN/server" "$BIN/etcd"
    echo "$wanted" >"$BIN/.built"
fi
echo "$BIN"
