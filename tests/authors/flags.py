"""For test_flags.sh: the configurations of the released models against the flags in the authors' README.

usage: IDDPM_AUTHORS=CHECKOUT flags.py IDDPM CONFIGS
"""
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [os.environ["IDDPM_AUTHORS"], str(Path(__file__).resolve().parents[2] / "jobs")]
from iddpm_file import config_value
from improved_diffusion import script_util

RELEASED = {
    "cifar10_uncond_50M_500K": "cifar10",
    "cifar10_uncond_vlb_50M_500K": "cifar10-vlb",
    "imagenet64_uncond_100M_1500K": "imagenet64",
    "imagenet64_uncond_vlb_100M_1500K": "imagenet64-vlb",
    "imagenet64_cond_270M_250K": "imagenet64-cond-270M",
    "upsample_cond_500K": "upsample-cond-256",
    "lsun_uncond_100M_1200K_bs128": "lsun-bedroom",
    "lsun_uncond_100M_2400K_bs64": "lsun-bedroom-2e-5",
}
GROUPS = {"large_size": "model", "small_size": "model", "lr": "train", "batch_size": "train",
          "schedule_sampler": "train", "ema_rate": "train", "weight_decay": "train", "lr_anneal_steps": "train"}
DIFFUSION = ("diffusion_steps", "noise_schedule", "timestep_respacing", "learn_sigma", "sigma_small", "use_kl",
             "predict_xstart", "rescale_timesteps", "rescale_learned_sigmas")


def flags_of(text, name):
    """All flags of a model: the defaults of the scripts, then those of its README."""
    upsampler = name.startswith("upsample")
    flags = script_util.sr_model_and_diffusion_defaults() if upsampler else script_util.model_and_diffusion_defaults()
    flags.update(lr=1e-4, weight_decay=0.0, lr_anneal_steps=0, batch_size=1, ema_rate="0.9999",
                 schedule_sampler="uniform")  # scripts/image_train.py
    block = text.split(f"/{name}.pt)")[1].split("```")[1]
    for flag, value in re.findall(r"--(\w+) ([^\s\"]+)", block):
        kind = type(flags[flag])
        flags[flag] = script_util.str2bool(value) if kind is bool else kind(value)
    return flags


def as_written(value):
    """A value of ours in the way theirs are."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def main():
    program, configs = sys.argv[1], Path(sys.argv[2])
    text, wrong = Path(os.environ["IDDPM_AUTHORS"], "README.md").read_text(), 0
    for name, config in RELEASED.items():
        ours = subprocess.run([program, "info", configs / f"{config}.yaml", "--yaml"], check=True, capture_output=True,
                              text=True).stdout
        for flag, value in flags_of(text, name).items():
            group = GROUPS.get(flag, "diffusion" if flag in DIFFUSION else "model")
            here = as_written(config_value(ours, f"{group}.{flag}"))
            if here != value:
                wrong += 1
                print(f"FAILED: {config}: {flag} is {here!r}, the authors' is {value!r}")
        steps = int(re.search(r"_(\d+)K", name)[1]) * 1000
        if config_value(ours, "train.total_steps") != steps:
            wrong += 1
            print(f"FAILED: {config}: total_steps are not {steps}")
    if len(re.findall(r"\[checkpoint\]", text)) != len(RELEASED):
        wrong += 1
        print("FAILED: the README has another number of models")
    sys.exit(wrong > 0)


main()
