#!/usr/bin/env python3
"""A part of this host's memory and CPU for as long as a block runs. Standard library only.

    from lease import lease
    with lease("training", memory="6Gi", cpu=2, wait=600):
        train()

Or around a command, which ends with the command's exit code:

    python3 lease.py --name training --memory 6Gi --cpu 2 --wait 600 -- python3 train.py

Where the broker is, its token, and the certificate to trust are taken from PLIMSOLL_URL,
PLIMSOLL_TOKEN and PLIMSOLL_CA.
"""

import argparse
import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request


class Refused(Exception):
    """The broker has no room, or never will. `retry_after` is in seconds, where it says so."""

    def __init__(self, status, message, retry_after):
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def call(method, path, body=None, timeout=30.0):
    """One request to the broker; its answer as an object."""
    headers = {"content-type": "application/json"}
    if token := os.environ.get("PLIMSOLL_TOKEN"):
        headers["authorization"] = "Bearer " + token
    url = os.environ.get("PLIMSOLL_URL", "http://127.0.0.1:7077") + path
    ca = os.environ.get("PLIMSOLL_CA")
    trust = ssl.create_default_context(cafile=ca) if ca else None
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=trust) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read()
        try:
            message = json.loads(text)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = text.decode(errors="replace")
        raise Refused(error.code, message, error.headers.get("retry-after")) from None


@contextlib.contextmanager
def lease(name, memory="auto", cpu=0, wait=0.0, ttl=60.0, priority="normal"):
    """Holds a lease: waits up to `wait` seconds for it, renews it, and gives it back.

    It ends with this process too, however that ends. Yields what was granted, as a dict.
    """
    body = {"name": name, "memory": memory, "cpu": cpu, "wait_seconds": wait, "ttl_seconds": ttl,
            "priority": priority, "pid": os.getpid()}
    granted = call("POST", "/v1/leases", body, timeout=wait + 30)
    path = "/v1/leases/" + granted["id"]
    done = threading.Event()

    def renew():
        while not done.wait(ttl / 3):
            try:
                call("POST", path + "/renew", {})
            except Refused as error:
                # 409: it has ended, and can't be renewed. Whoever goes on does so without it.
                print(f"lease {name}: {error}", file=sys.stderr)
                return
            except OSError:
                # A broker that is being started anew is asked again; it knows the lease.
                continue

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield granted
    finally:
        done.set()
        renewing.join()
        # One that has ended already, or whose broker has gone, needs no giving back.
        with contextlib.suppress(Refused, OSError):
            call("DELETE", path)


def main():
    parser = argparse.ArgumentParser(description="Runs a command under a lease.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--memory", default="auto", help='such as "6Gi"; auto: as was measured')
    parser.add_argument("--cpu", default="0", help='such as 2 or "500m"')
    parser.add_argument("--wait", type=float, default=0.0, help="seconds to wait for room")
    parser.add_argument("--ttl", type=float, default=60.0, help="seconds between renewals, times 3")
    parser.add_argument("--priority", default="normal")
    parser.add_argument("command", nargs="+")
    told = parser.parse_args()
    try:
        with lease(told.name, told.memory, told.cpu, told.wait, told.ttl, told.priority) as granted:
            threads = max(1, granted["cpu_millicores"] // 1000)
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            return subprocess.call(told.command, env=environment)
    except Refused as error:
        again = f"; again in {error.retry_after} s" if error.retry_after else ""
        print(f"{told.name}: {error}{again}", file=sys.stderr)
        return 75
    except OSError as error:
        print(f"{told.name}: {error}; is a broker there? `plimsoll serve` starts one",
              file=sys.stderr)
        return 69


if __name__ == "__main__":
    sys.exit(main())
