# Shared by the scripts: where things are, and how they speak. Sourced, not run.
# Large things live in the cache, outside the tree; .run/tools holds links to the versions that this tree is pinned to.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${CLIENTNUMBER_CACHE:-${HOME:-/root}/.cache/clientnumber}"
tools="$root/.run/tools"
# A build server keeps what it compiled in the cache, so that its next clone starts warm.
if [ -n "${CI:-}" ] && [ "${CI:-}" != false ] && [ -z "${CARGO_TARGET_DIR:-}" ]; then
  export CARGO_TARGET_DIR="$cache/target"
fi

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# hash_of FILE...: names one version of something built from these files.
hash_of() { cat "$@" | sha256sum | cut -c1-16; }

# link_tool NAME TARGET: .run/tools/NAME is what tests start.
link_tool() {
  mkdir -p "$tools"
  ln -sfn "$2" "$tools/$1"
}

# with_progress LABEL LOG COUNTER COMMAND...: runs COMMAND into LOG and says every 15 s how far it is.
# COUNTER is a command that prints a short progress text, or "" for seconds only.
with_progress() {
  local label=$1 log=$2 counter=$3 started=$SECONDS next=$((SECONDS + 15)) pid
  shift 3
  "$@" >"$log" 2>&1 &
  pid=$!
  trap 'kill "$pid" 2>/dev/null || true' EXIT
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [ "$SECONDS" -ge "$next" ]; then
      say "$label: $((SECONDS - started)) s${counter:+, $($counter)}"
      next=$((SECONDS + 15))
    fi
  done
  trap - EXIT
  wait "$pid"
}

# python_env NAME LIST: a virtual environment in the cache that holds exactly what LIST pins by hashes; prints its folder.
python_env() {
  local name=$1 list=$2 python into
  python="$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  into="$cache/$name/$(hash_of "$list")-py$python"
  if [ ! -e "$into/.complete" ]; then
    mkdir -p "$cache/$name"
    exec 9>"$cache/$name/lock"
    flock 9
  fi
  if [ ! -e "$into/.complete" ]; then
    say "$name: installing $(grep -c == "$list") Python packages"
    rm -rf "$into"
    # Programs in a virtual environment hold its path, so it is made in place; .complete says that it is whole.
    python3 -m venv "$into"
    with_progress "$name, install" "$into/install.log" "" \
      "$into/bin/pip" install --disable-pip-version-check --no-input --only-binary :all: --require-hashes -r "$list" || {
      tail -n 15 "$into/install.log" >&2
      die "Installing ${list#"$root/"} failed; the lines above name the package. Check that the Python package index (PIP_INDEX_URL) can be reached and that Python $python is one of 3.11 to 3.13, then run scripts/setup again."
    }
    touch "$into/.complete"
  fi
  echo "$into"
}
