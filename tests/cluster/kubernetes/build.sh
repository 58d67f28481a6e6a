#!/bin/bash
# Builds a real Kubernetes 1.32 control plane, etcd, CoreDNS and helm from their Go modules into $BIN (about 5 minutes
# on 2 cores the first time; nothing to do the second time) and installs containerd, runc, CNI plugins and buildah.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
BIN=${BIN:-$HOME/.cache/doorman-cluster/bin}
mkdir -p "$BIN"
export GOFLAGS=-mod=mod CGO_ENABLED=0 GONOSUMDB='k8s.io/*'
V=v1.32.5

build() { # folder, package, output name
    [ -x "$BIN/$3" ] && return
    echo "building $3"
    (cd "$here/$1" && go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$V -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=32 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=32 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=32" -o "$BIN/$3" "$2")
}
for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    build kubernetes k8s.io/kubernetes/cmd/$c $c
done
build etcd go.etcd.io/etcd/server/v3 etcd
build coredns github.com/coredns/coredns coredns
build helm helm.sh/helm/v3/cmd/helm helm

need=()
for p in containerd:containerd runc:runc buildah:buildah iptables:iptables debootstrap:debootstrap conntrack:conntrack; do
    command -v "${p%%:*}" >/dev/null || need+=("${p##*:}")
done
[ -x /usr/lib/cni/bridge ] || need+=(containernetworking-plugins)
if [ ${#need[@]} -gt 0 ]; then apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "${need[@]}" >/dev/null; fi
echo "$BIN"
