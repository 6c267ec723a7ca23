"""The authors' code on PyTorch, timed on what our benchmarks do: one JSON line, fields as ours.

usage: IDDPM_AUTHORS=CHECKOUT python3 authors.py train_step|forward MODEL BATCH STEPS THREADS [LAYOUT]
CHECKOUT is a checkout of openai/improved-diffusion; it is imported, nothing of it is changed. MODEL: cifar10 or imagenet64.
Both memory layouts of PyTorch are tried, and the faster is reported; or only contiguous or channels_last.
"""
import json
import os
import resource
import sys
import time

import numpy as np

np.int = int  # the authors' code is older than NumPy 1.24
sys.path.insert(0, os.environ["IDDPM_AUTHORS"])
import torch as th
from improved_diffusion import script_util
from improved_diffusion.nn import update_ema

MODELS = {  # image size, dropout
    "cifar10": (32, 0.3),
    "imagenet64": (64, 0.0),
}
FORMATS = {"contiguous": th.contiguous_format, "channels_last": th.channels_last}


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def create(model):
    size, dropout = MODELS[model]
    options = script_util.model_and_diffusion_defaults()
    options.update(image_size=size, num_channels=128, num_res_blocks=3, learn_sigma=True, dropout=dropout,
                   diffusion_steps=4000, noise_schedule="cosine", rescale_learned_sigmas=True)
    return size, *script_util.create_model_and_diffusion(**options)


def seconds_per_step(what, name, batch, steps, layout):
    """The least time of a step (the others are disturbed by whatever else the machine does), and bytes of the weights."""
    th.manual_seed(0)
    size, model, diffusion = create(name)
    model = model.to(memory_format=layout)
    images = (th.rand(batch, 3, size, size) * 2 - 1).to(memory_format=layout)
    params = list(model.parameters())
    ema = [p.detach().clone() for p in params]
    opt = th.optim.AdamW(params, lr=1e-4)
    model.train(what == "train_step")

    def step():
        t = th.randint(0, diffusion.num_timesteps, (batch,))
        if what == "forward":
            with th.no_grad():
                model(images, t)
            return
        for p in params:
            p.grad = None
        diffusion.training_losses(model, images, t)["loss"].mean().backward()
        float(sum((p.grad ** 2).sum() for p in params))  # the logged gradient norm
        opt.step()
        update_ema(ema, params, rate=0.9999)

    times = []
    for _ in range(steps + 1):  # the first one warms up
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[1:]), sum(p.numel() * p.element_size() for p in params)


def main():
    what, name, batch, steps, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    layouts = sys.argv[6:7] or ["contiguous", "channels_last"]
    th.set_num_threads(threads)
    base = peak_bytes()  # interpreter and libraries
    times = {}
    for layout in layouts:
        times[layout], weights = seconds_per_step(what, name, batch, steps, FORMATS[layout])
    layout = min(times, key=times.get)
    print(json.dumps({"benchmark": what, "who": "authors", "model": name, "batch": batch, "threads": threads,
                      "images_per_s": round(batch / times[layout], 4), "seconds_per_step": round(times[layout], 4),
                      "peak_bytes": peak_bytes(), "base_bytes": base, "weight_bytes": weights, "layout": layout,
                      "torch": th.__version__}))


main()
