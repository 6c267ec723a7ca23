"""For test_round_trip.sh: the authors' own code beside ours. Works in the current folder; a line for each figure, and
status 1 when one is too large.

usage: IDDPM_AUTHORS=CHECKOUT round_trip.py train|compare|resume image|enlarge

image is a class-conditional model, enlarge a class-conditional super-resolution model.

train    their TrainLoop on the batches of batches.h5: theirs/, with the parameters after one step more in next.pt, and
         noise for nll and sample
compare  what ours made of the converted checkpoint against their calc_bpd_loop, p_sample_loop,
         ddim_reverse_sample and next step
resume   their TrainLoop from ours/, converted, against our next step

Diffusion is computed in double (their casts to float are made casts to double), networks in float32.
"""
import os
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import torch as th
import torch.nn.functional as F

np.int = int  # their code is older than NumPy 1.24


def stand_in(name, **attributes):
    sys.modules[name] = types.SimpleNamespace(**attributes)


# For one process on local files.
stand_in("blobfile", BlobFile=open, join=os.path.join, dirname=os.path.dirname, exists=os.path.exists)
world = types.SimpleNamespace(rank=0, size=1, Get_rank=lambda: 0, bcast=lambda value, root=0: value)
stand_in("mpi4py", MPI=types.SimpleNamespace(COMM_WORLD=world))
sys.path.insert(0, os.environ["IDDPM_AUTHORS"])
from improved_diffusion import dist_util, fp16_util, gaussian_diffusion, logger, script_util, train_util, unet

STEPS, ANNEAL, LR, DECAY, RATES, CLASSES = 41, 100, 1e-3, 0.05, (0.5, 0.9), 12
TIMESTEPS, IMAGES, SAMPLES, LABEL = 100, 8, 32, 3
SMALL, ENLARGE = 4, sys.argv[2] == "enlarge"
failures = 0


def check(what, figure, most):
    global failures
    failures += not figure <= most
    print(f"{'ok' if figure <= most else 'FAILED'}: {what}: {figure:.3g}, at most {most:g}")


def extract_double(array, timesteps, shape):
    values = th.from_numpy(array)[timesteps]
    return values.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)


gaussian_diffusion._extract_into_tensor = extract_double


class Model(unet.SuperResModel if ENLARGE else unet.UNetModel):
    """The network of config.yaml; doubles outside."""

    def __init__(self):
        super().__init__(in_channels=1, model_channels=32, out_channels=2, num_res_blocks=1,
                         attention_resolutions=(2,), channel_mult=(1, 2), num_classes=CLASSES, num_heads=2,
                         use_scale_shift_norm=True)

    def forward(self, x, timesteps, **given):
        given = {name: value.float() if value.is_floating_point() else value for name, value in given.items()}
        return super().forward(x.float(), timesteps, **given).double()


def condition(x, y):
    """What a model is given of images and their classes (super_res_train.py)."""
    return {"y": y, "low_res": F.interpolate(x, SMALL, mode="area")} if ENLARGE else {"y": y}


def make_diffusion():
    return script_util.create_gaussian_diffusion(steps=TIMESTEPS, learn_sigma=True, noise_schedule="cosine",
                                                 rescale_timesteps=True, rescale_learned_sigmas=True)


class Given:
    """Noise in place of torch's, in the order of the calls, [draws][images][channels][height][width]."""

    def __init__(self, draws):
        self.draws = iter(draws)
        th.randn_like = lambda x: self.next(x)

    def next(self, x):
        draw = next(self.draws)
        assert draw.shape == x.shape
        return draw


def planes(array):
    """Channels first, in double."""
    return th.from_numpy(np.moveaxis(np.asarray(array, np.float64), -1, -3).copy())


class Batches:
    """What ours train on: data, timesteps and noise of each step."""

    def __init__(self, first):
        with h5py.File("batches.h5") as file:
            self.x, self.noise = planes(file["pixels"][first:] / 127.5 - 1), planes(file["noise"][first:])
            self.y, self.t = th.from_numpy(file["labels"][first:]), th.from_numpy(file["t"][first:])
        Given(self.noise)
        self.times = iter(self.t)

    def __iter__(self):
        return ((x, condition(x, y)) for x, y in zip(self.x, self.y))

    def sample(self, batch_size, device):
        """As a schedule sampler."""
        return next(self.times), th.ones(batch_size, dtype=th.float64)


def make_loop(first, folder, resume=""):
    logger.configure(folder, [])
    th.manual_seed(1)
    batches = Batches(first)
    return train_util.TrainLoop(model=Model(), diffusion=make_diffusion(), data=iter(batches), batch_size=16,
                                microbatch=-1, lr=LR, ema_rate=",".join(map(str, RATES)), log_interval=1000,
                                save_interval=STEPS - 1, resume_checkpoint=resume,
                                schedule_sampler=batches, weight_decay=DECAY, lr_anneal_steps=ANNEAL)


# ---- train ---------------------------------------------------------------------------------------------------------


def save_flat(loop):
    """Two more updates, by the fp16 optimiser's layout in flat/, and parameter by parameter in plain/."""
    grads = [p.grad for p in loop.model_params]
    plain = [th.nn.Parameter(p.detach().clone()) for p in loop.model_params]
    for p, grad in zip(plain, grads):
        p.grad = grad.clone()
    master = fp16_util.make_master_params(loop.model_params)
    fp16_util.model_grads_to_master_grads(loop.model_params, master)
    for folder, params in (("plain", plain), ("flat", master)):
        optimizer = th.optim.AdamW(params, lr=LR, weight_decay=DECAY)
        for _ in range(2):
            optimizer.step()
        whole = params if folder == "plain" else fp16_util.unflatten_master_params(loop.model_params, params)
        names = [name for name, _ in loop.model.named_parameters()]
        os.makedirs(folder)
        th.save(dict(zip(names, whole)), f"{folder}/model000001.pt")
        th.save(optimizer.state_dict(), f"{folder}/opt000001.pt")


def train():
    os.environ["DIFFUSION_TRAINING_TEST"] = "1"
    loop = make_loop(0, "theirs")
    loop.run_loop()
    loop.step += 1
    loop.run_step(*next(loop.data))
    th.save(loop.model.state_dict(), "next.pt")
    save_flat(loop)
    generator = np.random.default_rng(1)
    for name, draws, images in (("nll", TIMESTEPS, IMAGES), ("sample", TIMESTEPS + 1, SAMPLES)):
        with h5py.File(f"{name}-noise.h5", "w") as file:
            file["noise"] = generator.standard_normal((draws, images, 8, 8, 1))
    np.savez("base.npz", generator.integers(0, 256, (SAMPLES, SMALL, SMALL, 1), np.uint8),
             generator.integers(0, CLASSES, SAMPLES))


# ---- compare -------------------------------------------------------------------------------------------------------


def arrays_of(path, group="/"):
    """{name: array} of what a checkpoint has below a group."""
    found = {}
    with h5py.File(path) as file:
        file[group].visititems(lambda name, item: found.update({name: item[()]}) if hasattr(item, "shape") else None)
    return found


def checkpoint(run, step):
    return f"{run}/checkpoints/step-{step:08d}.h5"


def params_of(run, step):
    return arrays_of(checkpoint(run, step), "params")


def without_key_bias(name, array):
    """The true gradient of an attention's key bias is zero, and Adam follows its rounding noise."""
    if not name.endswith("qkv.bias"):
        return array
    kept = np.array(array).reshape(-1, 3, array.size // 6)  # two heads of q, k, v
    kept[:, 1] = 0
    return kept


def compare_updates(what, ours, before, theirs):
    """The step of ours against theirs from the same parameters, as a share of its length."""
    difference, length = 0, 0
    for name, tensor in theirs.items():
        here, start, there = (without_key_bias(name, np.float64(x)) for x in (ours[name], before[name], tensor.numpy()))
        difference += ((here - there) ** 2).sum()
        length += ((there - start) ** 2).sum()
    check(what, np.sqrt(difference / length), 5e-3)


def load_ema():
    model = Model()
    model.load_state_dict(th.load(f"theirs/ema_{RATES[1]}_{STEPS - 1:06d}.pt"))
    return model.eval()


def noise_of(name):
    with h5py.File(f"{name}-noise.h5") as file:
        return planes(file["noise"])


def held_out():
    with h5py.File(next(Path("../held-out").glob("*.h5"))) as file:
        return planes(file["images"][:IMAGES] / 127.5 - 1), th.from_numpy(file["labels"][:IMAGES])


def compare_bpd(model):
    x, y = held_out()
    Given(noise_of("nll"))
    theirs = make_diffusion().calc_bpd_loop(model, x, clip_denoised=True, model_kwargs=condition(x, y))
    with h5py.File("nll.h5") as file:
        for ours, name in (("total", "total_bpd"), ("prior", "prior_bpd"), ("vb", "vb")):
            check(f"bits/dim, {name}", np.abs(file[ours][()] - theirs[name].numpy()).max(), 1e-4)


def compare_samples(model):
    Given(noise_of("sample")[1:])
    given = {"y": th.full((SAMPLES,), LABEL)}
    if ENLARGE:
        base = np.load("base.npz")
        given = {"low_res": planes(base["arr_0"] / 127.5 - 1), "y": th.from_numpy(base["arr_1"])}
    samples = make_diffusion().p_sample_loop(model, (SAMPLES, 1, 8, 8), noise=noise_of("sample")[0], clip_denoised=True,
                                             model_kwargs=given)
    theirs = ((samples + 1) * 127.5).clamp(0, 255).to(th.uint8).permute(0, 2, 3, 1).numpy()
    ours = np.load("samples.npz")["arr_0"]
    check("share of bytes of a chain of 100 steps that differ", (ours != theirs).mean(), 0.001)
    check("share of black bytes", (theirs == 0).mean(), 0.9)


def compare_latents(model):
    x, y = held_out()
    given, diffusion = condition(x, y), make_diffusion()
    with th.no_grad():
        for t in range(TIMESTEPS):
            x = diffusion.ddim_reverse_sample(model, x, th.full((IMAGES,), t), clip_denoised=True,
                                              model_kwargs=given)["sample"]
    with h5py.File("latents.h5") as file:
        ours, labels = planes(file["noise"][0]), file["labels"][()]
    check("encoding in 100 steps, as a share of the largest", float((ours - x).abs().max() / x.abs().max()), 5e-4)
    check("labels of what was encoded that differ", (labels != y.numpy()).sum(), 0)


def compare_layouts():
    plain, flat = arrays_of("plain.h5"), arrays_of("flat.h5")
    most = max(np.abs(np.float64(flat[name]) - array).max() for name, array in plain.items() if name != "checksums")
    check("fp16 layout against parameter by parameter", most, 1e-7)


def compare():
    model = load_ema()
    compare_bpd(model)
    compare_samples(model)
    compare_latents(model)
    compare_layouts()
    compare_updates("our step after theirs", params_of("converted", STEPS + 1), params_of("converted", STEPS),
                    th.load("next.pt"))


# ---- resume --------------------------------------------------------------------------------------------------------


def same(what, ours, theirs):
    check(what, max(float((th.from_numpy(ours[name]) - tensor).abs().max()) for name, tensor in theirs.items()), 0)


def resume():
    loop = make_loop(STEPS, "resumed", f"ours-pt/model{STEPS - 1:06d}.pt")
    path, params = checkpoint("ours", STEPS), dict(loop.model.named_parameters())
    before = params_of("ours", STEPS)
    check("resumed at step", abs(loop.resume_step - (STEPS - 1)), 0)
    same("parameters", before, params)
    entries = list(loop.opt.state_dict()["state"].values())
    for what in ("exp_avg", "exp_avg_sq"):
        same(what, arrays_of(path, f"optimizer/{what}"), {name: entry[what] for name, entry in zip(params, entries)})
    check("updates", max(abs(int(entry["step"]) - STEPS) for entry in entries), 0)
    for rate, ema in zip(RATES, loop.ema_params):
        same(f"EMA {rate}", arrays_of(path, f"ema/{rate}"), dict(zip(params, ema)))
    loop.step = 1  # resume_step is that of the last step done, which theirs would do again
    batch, cond = next(loop.data)
    losses = loop.diffusion.training_losses(loop.model, batch, loop.schedule_sampler.t[0], model_kwargs=cond)
    ours = float(Path("loss").read_text())
    check("loss of the next batch, relative", abs(losses["loss"].mean().item() / ours - 1), 1e-5)
    Given(loop.schedule_sampler.noise)
    loop.run_step(batch, cond)
    compare_updates("their step after ours", params_of("ours", STEPS + 1), before, loop.model.state_dict())


dist_util.setup_dist()
{"train": train, "compare": compare, "resume": resume}[sys.argv[1]]()
sys.exit(failures > 0)
