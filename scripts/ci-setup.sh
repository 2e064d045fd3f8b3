#!/usr/bin/env bash
# Installs the system parts that some tests use (Debian and Ubuntu, as root; elsewhere it only looks),
# and prints those that work here as a list for BATON_REQUIRE.
set -euo pipefail

missing=()
command -v bwrap >/dev/null || missing+=(bubblewrap)
command -v rg >/dev/null || missing+=(ripgrep)
command -v git >/dev/null || missing+=(git)
command -v zsh >/dev/null || missing+=(zsh)
command -v dash >/dev/null || missing+=(dash)
command -v busybox >/dev/null || missing+=(busybox)

if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install --yes --no-install-recommends "${missing[@]}"; } >/dev/null
  else
    echo "ci-setup: not installed, and not installable from here: ${missing[*]}" >&2
  fi
fi

working=()
if command -v bwrap >/dev/null; then
  # Present is not enough: user namespaces are often forbidden inside containers.
  if bwrap --unshare-all --ro-bind / / true 2>/dev/null; then working+=(bubblewrap); else echo 'ci-setup: bubblewrap cannot start here; its tests are skipped' >&2; fi
fi
if command -v rg >/dev/null; then working+=(ripgrep); fi
if script --version 2>/dev/null | grep -q util-linux; then working+=(script); fi
for shell in zsh dash busybox; do if command -v "$shell" >/dev/null; then working+=("$shell"); fi; done
(IFS=, && echo "${working[*]-}")
