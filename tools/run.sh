#!/usr/bin/env bash
# run.sh - the sample API in front of the sample backend, until Ctrl-C.
#
# HTTP, HTTPS, ADMIN and ECHO choose other addresses: 127.0.0.1:8380 or 8380.
source "$(dirname "$0")/lib.sh"

# A port alone means loopback; nothing means the gateway's own default.
address()
{
    case $1 in
    '' | *[!0-9]*) echo "$1" ;;
    *) echo "127.0.0.1:$1" ;;
    esac
}

http=$(address "${HTTP:-}")
https=$(address "${HTTPS:-}")
admin=$(address "${ADMIN:-}")
echo_at=$(address "${ECHO:-8290}")
http_port=${http:-8280}
http_port=${http_port##*:}
admin_at=${admin:-127.0.0.1:9797}
url=http://localhost:$http_port/bookshop/v1/books

must_be_free() # NAME ADDRESS
{
    local port=${2##*:}

    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        die "port $port is taken; choose another: make run $1=$((port + 100))" \
            "(HTTP=, HTTPS=, ADMIN= and ECHO= take a port or ADDRESS:PORT)"
    fi
}

must_be_free HTTP "${http:-8280}"
must_be_free HTTPS "${https:-8243}"
must_be_free ADMIN "$admin_at"
must_be_free ECHO "$echo_at"

gateway=
backend=
stop() # SIGNAL
{
    [ -z "$gateway" ] || kill "-$1" "$gateway" 2>/dev/null || true
}
finish()
{
    stop TERM
    [ -z "$backend" ] || kill -TERM "$backend" 2>/dev/null || true
}
asked=
interrupted()
{
    # The first Ctrl-C drains, a second one does not wait.
    if [ -z "$asked" ]; then stop TERM; else stop KILL; fi
    asked=yes
}
trap finish EXIT
trap interrupted INT TERM

is_ready()
{
    local line

    exec 3<>"/dev/tcp/${admin_at%:*}/${admin_at##*:}" || return 1
    printf 'GET /ready HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' \
        "$admin_at" >&3
    IFS= read -r -t 2 line <&3 || line=
    exec 3<&- 3>&-
    [[ $line == "HTTP/1.1 200"* ]]
}

say_when_ready()
{
    local i

    for ((i = 0; i < 300; i++)); do
        if (is_ready) 2>/dev/null; then
            printf '\nThe gateway is ready. Try:  curl %s\nCtrl-C stops it.\n\n' \
                "$url"
            return
        fi
        kill -0 "$gateway" 2>/dev/null || return 0
        [ -z "$asked" ] || return 0
        sleep 0.1
    done
    echo "run.sh: no 200 from http://$admin_at/ready after 30 s" >&2
}

export TOLLGATE_STATE_DIR=$root/$build/run
mkdir -p "$TOLLGATE_STATE_DIR"

"$build/tollgate" echo --listen "$echo_at" &
backend=$!
"$build/tollgate" gateway --upstream "http://$echo_at" \
    ${http:+--http "$http"} ${https:+--https "$https"} \
    ${admin:+--admin "$admin"} examples/bookshop.yaml &
gateway=$!

say_when_ready
# A trapped signal ends wait early: wait again until the gateway is gone.
status=0
while :; do
    status=0
    wait "$gateway" || status=$?
    kill -0 "$gateway" 2>/dev/null || break
done
gateway=
if [ -z "$asked" ]; then
    echo "run.sh: the gateway ended by itself (status $status)" >&2
    exit "$status"
fi
