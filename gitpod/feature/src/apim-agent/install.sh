#!/bin/sh
# Runs as root while the image is built, with the options as variables. Nothing that it does needs an identity or leaves a
# credential: those come when the container starts. DESTDIR is for tests.
set -eu
fail() { printf 'apim-agent Feature: %s\n' "$*" >&2; exit 1; }

bin=${DESTDIR:-}/usr/local/bin
share=${DESTDIR:-}/usr/local/share/apim-agent

if [ -n "${FROM:-}" ]; then
    [ -n "${SHA256:-}" ] || fail "the option sha256 is missing: it says which archive is meant, whoever serves it"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    if command -v curl >/dev/null; then
        curl -fsSL --proto =https,file --proto-redir =https -o "$folder/archive" -- "$FROM"
    elif command -v wget >/dev/null; then
        wget -q -O "$folder/archive" -- "$FROM"
    else
        fail "neither curl nor wget is in the image"
    fi
    printf '%s  %s\n' "$SHA256" "$folder/archive" | sha256sum -c - >/dev/null 2>&1 ||
        fail "the archive's SHA-256 is not $SHA256, so it is not installed: $(sha256sum "$folder/archive" | cut -d ' ' -f 1)"
    tar -xzf "$folder/archive" -C "$folder"
    program=$(find "$folder" -name apim-agent -type f -perm -u+x | head -n 1)
    [ -n "$program" ] || fail "the archive holds no program apim-agent"
    mkdir -p "$bin"
    install -m 0755 "$program" "$bin/apim-agent"
elif [ -z "${DESTDIR:-}" ] && ! command -v apim-agent >/dev/null; then
    fail "no apim-agent in this image; name a release archive by the options from and sha256"
fi

# What runs at each start, with the options as they are now. The value is quoted for sh.
config=$(printf '%s' "${CONFIG:-apim-agent.toml}" | sed "s/'/'\\\\''/g")
mkdir -p "$share"
{
    printf '#!/bin/sh\n# Written by the apim-agent Feature. Returns when the credentials are published; the agent then lives by itself.\n'
    printf "config='%s'\nrequired='%s'\n" "$config" "${REQUIRED:-false}"
    cat <<'POST_START'
apim-agent start --config "$config" && exit 0
code=$?
echo "apim-agent: the container has no credentials; once that is mended: apim-agent start --config '$config'" >&2
[ "$required" = true ] && exit "$code"
exit 0
POST_START
} >"$share/post-start"
chmod 0755 "$share/post-start"
