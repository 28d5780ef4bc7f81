#!/usr/bin/env bash
# Finds or builds a collector for otel-collector.yaml; the last line printed is the binary's path.
#
# Found: $TRACEFUSE_OTELCOL, else otelcol-contrib or otelcol on PATH. Built otherwise: once per manifest, with Go
# and the official OpenTelemetry Collector Builder, into a cache outside the tree. Progress goes to stderr.
# With --no-build: only if it is there already; exit code 1 otherwise.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
  echo "collector: $*" >&2
  exit 1
}

found() {
  local name path
  if [[ -n ${TRACEFUSE_OTELCOL:-} ]]; then
    command -v "$TRACEFUSE_OTELCOL" ||
      fail "TRACEFUSE_OTELCOL=$TRACEFUSE_OTELCOL is not an executable; give the path of a collector"
    return
  fi
  for name in otelcol-contrib otelcol; do
    path=$(command -v "$name") || continue
    # The core distribution and old releases lack components; better to build one than to fail at the start.
    if "$path" validate --config "$here/../../otel-collector.yaml" >/dev/null 2>&1; then
      echo "$path"
      return
    fi
    echo "collector: $path does not accept otel-collector.yaml, passed over" >&2
  done
  return 1
}

digest() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -c1-16
}

# Builds in a directory beside the target, so that the last step is an atomic rename.
build() {
  local manifest=$1 target=$2 release
  command -v go >/dev/null ||
    fail "none found and no Go to build one: install otelcol-contrib or Go (go.dev/dl), or set TRACEFUSE_OTELCOL"
  release=$(awk '$1 == "version:" { print $2; exit }' "$manifest")
  work=$(mktemp -d "${target%/*}/build.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "collector: building $release into $target, once; this takes minutes" >&2
  sed "s|output_path:.*|output_path: $work/out|" "$manifest" >"$work/manifest.yaml"
  # Go settings of the caller are for the caller's own modules.
  unset GOOS GOARCH
  export GOFLAGS= GOWORK=off GO111MODULE=on CGO_ENABLED=0 GOBIN=$work/bin
  if ! {
    go install -trimpath "go.opentelemetry.io/collector/cmd/builder@v$release" &&
      "$work/bin/builder" --config="$work/manifest.yaml" --skip-strict-versioning=false
  } >"$work/log" 2>&1; then
    cat "$work/log" >&2
    fail "the build of $release failed; its log is above"
  fi
  mv "$work/out/otelcol-tracefuse" "$target"
}

main() {
  local manifest=$here/manifest.yaml target
  if found; then return; fi
  target=${XDG_CACHE_HOME:-$HOME/.cache}/tracefuse/collector/$(digest "$manifest")/otelcol-tracefuse
  if [[ ${1:-} == --no-build && ! -x $target ]]; then return 1; fi
  if [[ ! -x $target ]]; then
    mkdir -p "${target%/*}"
    (
      # Of two callers the second waits here and finds the work done. Without flock both build, which is only slow.
      if command -v flock >/dev/null; then flock 9; fi
      if [[ ! -x $target ]]; then build "$manifest" "$target"; fi
    ) 9>"${target%/*}/lock"
  fi
  echo "$target"
}

main "$@"
