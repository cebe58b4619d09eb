#!/usr/bin/env bash
# twemproxy (nutcracker) 0.5.0, as Debian 12 has it.
#
# A client that pipelines a command the proxy serves and one it does not serve gets nothing at all: the
# proxy closes the connection at the second and drops the answer to the first, although the backend has
# given it. Sent one after the other, the first is answered. So a client must never send an optional
# question in one write with the question that matters.
#
# Seen: `GET` alone: b'$-1\r\n'; `GET` and then `INFO` in one write: b'' and the end of the connection.
set -euo pipefail
version=0.5.0+dfsg-2
folder=$(mktemp -d)
pids=()
clean_up() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$folder"; }
trap clean_up EXIT
cd "$folder"
apt-get download -qq "nutcracker=$version" 2>/dev/null
dpkg-deb -x nutcracker_*.deb root

cat >backend.py <<'PY'
import socketserver

class Backend(socketserver.StreamRequestHandler):
    """Answers every command as a Redis without data answers GET."""
    def handle(self):
        while (head := self.rfile.readline()):
            for _ in range(int(head[1:])):
                length = int(self.rfile.readline()[1:])
                self.rfile.read(length + 2)
            self.wfile.write(b"$-1\r\n")

with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Backend) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
PY
python3 backend.py >backend.port &
pids+=($!)
until [ -s backend.port ]; do sleep 0.05; done
read -r proxy stats < <(python3 -c '
import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in both))')
cat >proxy.yml <<YML
pool:
  listen: 127.0.0.1:$proxy
  redis: true
  servers:
   - 127.0.0.1:$(cat backend.port):1
YML
root/usr/sbin/nutcracker -c proxy.yml -a 127.0.0.1 -s "$stats" -o proxy.log &
pids+=($!)

python3 - "$proxy" <<'PY'
import socket, sys, time

def ask(*writes):
    for _ in range(100):
        try:
            peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)
            break
        except OSError:
            time.sleep(0.05)
    seen = []
    for data in writes:
        peer.sendall(data)
        peer.settimeout(1)
        try:
            seen.append(peer.recv(4096))
        except TimeoutError:
            seen.append("silence")
    return seen

get = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
info = b"*1\r\n$4\r\nINFO\r\n"
apart, together = ask(get, info), ask(get + info)
print("one after the other:", apart)
print("in one write:       ", together)
if apart != [b"$-1\r\n", b""] or together != [b""]:
    sys.exit("this has changed")
PY
