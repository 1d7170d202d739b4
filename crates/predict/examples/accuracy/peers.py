"""Forecasts of statsforecast's models at given origins, in a virtual environment of its own.

python3 peers.py TASK.json FORECASTS.json SECONDS VENV

Reads {"series": [{"name", "season", "values", "origins"}]}, origins rising. Every model is fitted
once on each series, on three seasons (600 to 1,000 steps) that end at its first origin; at each
origin its state is brought up to date with its parameters held, and it forecasts a season. Writes a
list of {"model", "series", "origin", "said": [[steps ahead, point, low, high], ...]} (95%
intervals). Goes model by model through all series, and stops when the time is over.
"""

import json
import os
import subprocess
import sys
import time

PACKAGES = ["statsforecast==2.1.1"]


def in_environment(venv):
    """Makes the environment where it is missing, and goes on in it."""
    python = os.path.join(venv, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        return
    if not os.path.exists(python):
        subprocess.check_call([sys.executable, "-m", "venv", venv])
    if subprocess.call([python, "-c", "import statsforecast"], stderr=subprocess.DEVNULL):
        subprocess.check_call([python, "-m", "pip", "install", "--quiet", *PACKAGES])
    os.execv(python, [python, *sys.argv])


def models():
    from statsforecast.models import (
        AutoARIMA,
        AutoETS,
        AutoTheta,
        HoltWinters,
        SeasonalNaive,
    )

    return {
        "SeasonalNaive": lambda season: SeasonalNaive(season_length=season),
        "AutoETS": lambda season: AutoETS(model="ZZN"),
        "AutoTheta": lambda season: AutoTheta(season_length=season),
        "HoltWinters": lambda season: HoltWinters(season_length=season),
        "AutoARIMA": lambda season: AutoARIMA(seasonal=False),
    }


def filled(values):
    """Steps without a value are bridged by straight lines: these models know no gaps."""
    import numpy as np

    y = np.array([np.nan if v is None else v for v in values], dtype=float)
    known = ~np.isnan(y)
    at = np.arange(len(y))
    return np.interp(at, at[known], y[known])


def number(value):
    """JSON knows no infinity."""
    return float(value) if abs(value) < float("inf") else None


def forecasts(model, series):
    season, origins = series["season"], series["origins"]
    window = min(max(3 * season, 600), 1000)
    y = filled(series["values"])
    steps = sorted({h for h in (1, 4, 12, season) if h <= season})
    model.fit(y[max(0, origins[0] + 1 - window) : origins[0] + 1])
    for origin in origins:
        known = y[max(0, origin + 1 - window) : origin + 1]
        said = model.forward(known, h=season, level=[95])
        parts = [list(said[key]) for key in ("mean", "lo-95", "hi-95")]
        yield origin, [[h, *(number(part[h - 1]) for part in parts)] for h in steps]


def main():
    task, out, seconds, venv = sys.argv[1:5]
    in_environment(venv)
    until = time.monotonic() + float(seconds)
    with open(task) as file:
        task = json.load(file)
    found = []
    # Short seasons first: where time is short, the long ones are left out.
    tasks = sorted((s for s in task["series"] if s["origins"]), key=lambda s: s["season"])
    for name, make in models().items():
        for series in tasks:
            if time.monotonic() > until:
                break
            try:
                for origin, said in forecasts(make(series["season"]), series):
                    row = {"model": name, "series": series["name"], "origin": origin, "said": said}
                    found.append(row)
            except Exception as error:  # A peer that fails is told as having failed.
                print(f"{name} failed on {series['name']}: {error}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - until:.0f} s", file=sys.stderr, flush=True)
    with open(out, "w") as file:
        json.dump(found, file)


main()
