#!/usr/bin/env bash
# setup.sh WHAT... - install the Debian packages that WHAT lacks, if any.
#
# WHAT is build, run, test, fuzz, bench, format or lint. When everything is
# there it says nothing and touches no network. Otherwise it prints what it
# installs, and uses sudo only when it is not root.
source "$(dirname "$0")/lib.sh"

build_packages=(build-essential cmake ninja-build pkg-config
    libssl-dev libnghttp2-dev libc-ares-dev libyaml-dev libargon2-dev
    libpcre2-dev libmaxminddb-dev)
node_version=20.20.2 # what tests use where the system has an older one

packages_for()
{
    case $1 in
    build) echo "${build_packages[@]}" ;;
    run) echo "${build_packages[@]}" curl ;;
    test) echo "${build_packages[@]}" libcmocka-dev ca-certificates curl \
        openssl python3 nghttp2-client nginx-light prometheus glewlwyd \
        faketime "$(node_packages)" ;;
    fuzz) echo "${build_packages[@]}" clang libclang-rt-14-dev \
        "$(llhttp_package)" ;;
    bench) echo "${build_packages[@]}" curl nginx-light \
        libnginx-mod-http-lua haproxy wrk nghttp2-client nghttp2-server \
        openssl python3 util-linux valgrind ;;
    format) echo clang-format ;;
    lint) echo "${build_packages[@]}" clang clang-format clang-tidy \
        shellcheck ;;
    *) die "does not know '$1'" ;;
    esac
}

# A Node from elsewhere (nodesource, nvm) brings its own npm: leave it alone.
node_packages()
{
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
}

# The fuzzers want three C files of node-llhttp, wherever they came from.
llhttp_package()
{
    [ -e /usr/share/llhttp/llhttp.c ] || echo node-llhttp
}

missing_of()
{
    local package present

    present=" $(dpkg-query -W -f='${Package}:${db:Status-Status} ' "$@" \
        2>/dev/null || true)"
    for package; do
        [[ $present == *" $package:installed "* ]] || echo "$package"
    done
}

install()
{
    local sudo=() log

    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "these Debian packages are missing," \
            "and there is no sudo. As root: apt-get install $*"
        sudo=(sudo)
    fi
    echo "setup: installing Debian packages${sudo:+ with sudo}: $*"
    log=$(mktemp)
    if ! {
        ${sudo[@]+"${sudo[@]}"} apt-get update -qq &&
            ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -q --no-install-recommends "$@"
    } >"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        die "apt-get failed, its last words are above; all of them: $log"
    fi
    rm -f "$log"
}

# Debian 12 has Node 18, the tests need 20.18: npm carries the program itself.
# It goes into build-node, the system's Node stays what it is.
install_node()
{
    local cpu

    use_node
    node -e 'const [a, b] = process.versions.node.split(".").map(Number);
        process.exit(a > 20 || (a === 20 && b >= 18) ? 0 : 1)' && return
    case $(uname -m) in
    x86_64) cpu=x64 ;;
    aarch64) cpu=arm64 ;;
    *) die "tests need Node 20.18 or later, this is $(node --version)" ;;
    esac
    echo "setup: Node is $(node --version), tests need 20.18:" \
        "installing node-linux-$cpu@$node_version from npm into build-node"
    npm install --prefix build-node --no-save --no-package-lock \
        --ignore-scripts --no-audit --no-fund --loglevel=error \
        "node-linux-$cpu@$node_version"
    mkdir -p build-node/node_modules/.bin
    ln -sf "../node-linux-$cpu/bin/node" build-node/node_modules/.bin/node
}

wanted=()
for what; do
    # shellcheck disable=SC2207 # package names hold no blanks
    wanted+=($(packages_for "$what"))
    if [ "$what" = build ] && [[ ${CC:-} == *clang* ]]; then
        wanted+=(clang)
    fi
done

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    mapfile -t missing < <(missing_of "${wanted[@]}" | sort -u)
    if [ ${#missing[@]} -gt 0 ]; then
        install "${missing[@]}"
    fi
else
    echo "setup: not a Debian system; this needs: ${wanted[*]}"
fi
if [[ " $* " == *" test "* ]]; then
    install_node
fi
