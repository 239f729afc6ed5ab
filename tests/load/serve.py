"""Measures the scoring server: requests a second one after another, and many at a time.

    python tests/load/serve.py --model=runs/rm-demo --requests=128 --clients=32

Starts `mapl serve`, sends every request once by one client and once by all clients, makes sure that
the rewards are the same, and prints both rates. A request is a prompt of the demonstration with its
two responses.
"""

import argparse
import concurrent.futures
import json
import re
import subprocess
import sys
import time
import urllib.request

import numpy as np

import mapl_jax


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    requests = [
        {"prompt": pair["prompt"], "responses": [pair["chosen"], pair["rejected"]]}
        for pair in mapl_jax.load_pairs("demo", limit=options.requests)
    ]
    command = [sys.executable, "-m", "mapl_jax.serve", f"--model={options.model}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stdout or ())
            address = next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))

            def ask(request: object) -> list[float]:
                body = json.dumps(request).encode()
                kind = {"Content-Type": "application/json"}
                sent = urllib.request.Request(f"{address}/score", body, kind)
                with urllib.request.urlopen(sent, timeout=600) as answer:
                    return json.load(answer)["rewards"]

            rates, rewards = {}, {}
            for clients in (1, options.clients):
                with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                    began = time.perf_counter()
                    rewards[clients] = list(pool.map(ask, requests))
                    rates[clients] = len(requests) / (time.perf_counter() - began)
                print(f"{clients} at a time: {rates[clients]:.1f} requests a second", flush=True)
        finally:
            server.terminate()
            server.communicate()
    worst = np.abs(np.subtract(*rewards.values())).max()
    print(f"{rates[options.clients] / rates[1]:.1f} times; rewards the same to {worst:.0e}")


if __name__ == "__main__":
    main()
