#!/usr/bin/env bash
# A container engine and the base image for the tests of the images, on a Debian machine as root.
# Where Docker runs already, nothing is installed or started.
#   host.sh start [PID_FILE]   exit status 3: this machine cannot run containers
#   host.sh stop [PID_FILE]    ends the daemon that "start" started
set -euo pipefail
pid_file=${2:-/tmp/madminer-dockerd.pid}
base=debian:bookworm-slim

give_up() { echo "containers cannot run here: $1" >&2; exit 3; }

if [ "$1" = stop ]; then
  if [ -s "$pid_file" ]; then kill "$(cat "$pid_file")" && rm -f "$pid_file"; fi
  exit 0
fi

if ! docker info >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || give_up "no engine answers, and installing one needs root"
  command -v dockerd >/dev/null ||
    { apt-get update -qq && apt-get install -qq -y docker.io >/dev/null; } ||
    give_up "docker.io cannot be installed"
  # Without rights over the network's tables; builds and runs need no network.
  nohup dockerd --iptables=false --ip6tables=false --bridge=none >"$pid_file.log" 2>&1 &
  echo $! >"$pid_file"
  for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
  docker info >/dev/null 2>&1 || give_up "dockerd does not start ($(tail -n 1 "$pid_file.log"))"
fi

if ! docker image inspect "$base" >/dev/null 2>&1 && ! timeout 60 docker pull -q "$base"; then
  echo "$base cannot be pulled; debootstrap makes it"
  command -v debootstrap >/dev/null ||
    { apt-get update -qq && apt-get install -qq -y debootstrap >/dev/null; }
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase bookworm "$root" "$mirror" >/dev/null
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
    "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" -c . | docker import - "$base" >/dev/null
fi
docker image inspect --format "$base: {{.Size}} bytes" "$base"
