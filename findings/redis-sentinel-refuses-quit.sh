#!/usr/bin/env bash
# Redis Sentinel 7.0.15, as Debian 12 has it.
#
# A Redis server answers QUIT with +OK and closes the connection. The same program as a Sentinel does not
# know QUIT: it answers an error and leaves the connection open, and PING is answered on it afterwards. So
# a client that says goodbye must not read the answer as a verdict, and must close by itself.
#
# Seen, server: b'+OK\r\n', closed. Sentinel: b"-ERR unknown command 'QUIT', with args beginning with: \r\n",
# open.
set -euo pipefail
version=5:7.0.15-1~deb12u10
folder=$(mktemp -d)
pids=()
clean_up() { kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$folder"; }
trap clean_up EXIT
cd "$folder"
apt-get download -qq "redis-tools=$version" libjemalloc2 liblua5.1-0 liblzf1 lua-cjson lua-bitop 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
LD_LIBRARY_PATH=$(find "$folder/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH
program=$(find root -name 'redis-check-rdb' -type f -print -quit)
cp "$program" redis-server
read -r server sentinel < <(python3 -c '
import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in both))')
for role in server sentinel; do
    printf 'port %s\nbind 127.0.0.1\ndir %s\nlogfile %s.log\n' "${!role}" "$folder" "$role" >"$role.conf"
done
./redis-server server.conf &
pids+=($!)
./redis-server sentinel.conf --sentinel &
pids+=($!)

python3 - "$server" "$sentinel" <<'PY'
import socket, sys, time

def quit_at(port):
    for _ in range(600):
        try:
            peer = socket.create_connection(("127.0.0.1", int(port)), 2)
            break
        except OSError:
            time.sleep(0.05)
    peer.settimeout(2)
    peer.sendall(b"QUIT\r\n")
    answer = peer.recv(4096)
    try:
        peer.sendall(b"PING\r\n")
        then = "open" if peer.recv(4096) == b"+PONG\r\n" else "closed"
    except OSError:
        then = "closed"
    return answer, then

server, sentinel = map(quit_at, sys.argv[1:])
print("server:", *server)
print("sentinel:", *sentinel)
assert server == (b"+OK\r\n", "closed"), server
assert sentinel == (b"-ERR unknown command 'QUIT', with args beginning with: \r\n", "open"), sentinel
PY
