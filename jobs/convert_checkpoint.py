#!/usr/bin/python3
"""Checkpoints of the authors' code (openai/improved-diffusion, PyTorch) made into those of iddpm, and back.

  convert_checkpoint.py to-iddpm FOLDER|FILE.pt OUT.h5|RUN --config CONFIG [--step N] [key=value ...]
  convert_checkpoint.py to-pt CHECKPOINT.h5 FOLDER [--fp16]

to-iddpm takes modelN.pt (of a folder the newest), and beside it every ema_RATE_N.pt, and optN.pt where there is one.
modelN.pt was written after N + 1 updates, so the checkpoint's step is N + 1. The rates found become train.ema_rate.
Any other file, such as a released one, or an ema_RATE_N.pt, is a single set of weights: params and all EMAs are that;
its step is --step. Without an optimiser its moments are zero, and it has made no updates. OUT.h5 is one checkpoint; any
other name is the folder of a run, which `iddpm train RUN` continues. CONFIG is that of the model (jobs/configs has
those of the released ones), and key=value change it, as for iddpm train; model.num_classes becomes the number of rows
of label_emb.weight.

to-pt writes modelN.pt, ema_RATE_N.pt and optN.pt of a checkpoint of step N + 1 for the authors' --resume_checkpoint,
which goes on at step N: it counts the last step twice. With --fp16 the optimiser's is as their --use_fp16 True reads
it.

The environment's IDDPM is the program, when it is not build/iddpm of this repository.
"""
import argparse
import inspect
import os
import pickle
import re
import subprocess
import sys
import tempfile
import types
from collections import OrderedDict
from pathlib import Path
from unittest import mock

try:
    import numpy as np
    import torch
    from iddpm_file import Refusal, Writer, config_value, publish, rate_text, read_checked, sync, write_text
except ImportError as error:
    sys.exit(f"convert_checkpoint.py: {error}; it needs PyTorch and h5py: Debian packages python3-torch and "
             f"python3-h5py, which /usr/bin/python3 has (this is {sys.executable})")

METRIC_SLOTS = 20  # src/train/state.h
ISA_BYTES = 16
LABELS = "label_emb.weight"


# ---- iddpm ---------------------------------------------------------------------------------------------------------


def iddpm_info(*arguments, check=True):
    program = os.environ.get("IDDPM") or Path(__file__).resolve().parent.parent / "build" / "iddpm"
    try:
        done = subprocess.run([program, "info", *map(str, arguments)], capture_output=True, text=True)
    except OSError as error:
        raise Refusal(f"{program}: cannot be run: {error.strerror}; build it, or set IDDPM to the program") from None
    if check and done.returncode:
        raise Refusal(done.stderr.strip())
    return done


# ---- PyTorch's files -----------------------------------------------------------------------------------------------


class WeightsUnpickler(pickle.Unpickler):
    """Makes tensors, numbers and containers, and nothing else: a pickle of any kind could run a program. (The
    weights_only of PyTorch 1.13 knows no floats, which every optimiser's file has.)"""

    ALLOWED = {"collections.OrderedDict", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
               "torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter", "torch.Size"}

    def find_class(self, module, name):
        if f"{module}.{name}" in self.ALLOWED or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of weights needs")


WEIGHTS_PICKLE = types.SimpleNamespace(__name__="weights_pickle", Unpickler=WeightsUnpickler,
                                       UnpicklingError=pickle.UnpicklingError,
                                       load=lambda file, **options: WeightsUnpickler(file, **options).load())


def load(path):
    """The newer (zip) and the older file format of PyTorch, each with pickles in it."""
    options = {"map_location": "cpu", "pickle_module": WEIGHTS_PICKLE}
    if "weights_only" in inspect.signature(torch.load).parameters:
        options["weights_only"] = False  # the default of PyTorch 2.6 refuses another unpickler
    try:
        with mock.patch.object(torch.serialization, "pickle", WEIGHTS_PICKLE):  # 1.13 looks at no pickle_module
            return torch.load(path, **options)
    except Exception as error:  # whatever a damaged or foreign file leads to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refusal(f"{path}: cannot be read as weights of PyTorch: {reason}") from None


def load_weights(path):
    found = load(path)
    if not isinstance(found, dict) or not found or not all(torch.is_tensor(value) for value in found.values()):
        raise Refusal(f"{path}: is no state dict, a table of names and tensors")
    for name, tensor in found.items():
        if not tensor.is_floating_point():
            raise Refusal(f"{path}: {name} has numbers of type {tensor.dtype}")
    return found


def array_of(tensor):
    return np.ascontiguousarray(tensor.detach().float().numpy())


class Source:
    """Which files make up the authors' checkpoint."""

    def __init__(self, path, step):
        path = Path(path)
        if path.is_dir():
            path = self.newest(path)
        if not path.exists():
            raise Refusal(f"{path}: no such file or folder")
        self.model, self.emas, self.optimizer = path, {}, None
        name = re.fullmatch(r"(model|ema_([0-9.e+-]+)_)(\d+)\.pt", path.name)
        if name and step is not None:
            raise Refusal(f"--step {step}: the name of {path} says how many steps there were")
        self.step = int(name[3]) + 1 if name else step or 0
        self.whole = bool(name) and name[1] == "model"
        if self.whole:
            self.look_beside(name[3])
        elif name:
            self.emas[float(name[2])] = path

    @staticmethod
    def newest(folder):
        models = [file for file in folder.iterdir() if re.fullmatch(r"model\d+\.pt", file.name)]
        if not models:
            raise Refusal(f"{folder}: holds no modelN.pt")
        return max(models, key=lambda file: int(file.name[5:-3]))

    def look_beside(self, number):
        for file in sorted(self.model.parent.iterdir()):
            name = re.fullmatch(r"ema_([0-9.e+-]+)_(\d+)\.pt", file.name)
            if name and name[2] == number:
                self.emas[float(name[1])] = file
        optimizer = self.model.with_name(f"opt{number}.pt")
        self.optimizer = optimizer if optimizer.exists() else None

    def rates(self, configured):
        """(rate, file or None) of every EMA: the configuration's order, then the others."""
        if not self.emas:
            return [(rate, None) for rate in configured]
        known = [rate for rate in configured if rate in self.emas]
        return [(rate, self.emas[rate]) for rate in known + sorted(set(self.emas) - set(known))]


def zeros(shapes):
    for name, shape in shapes.items():
        yield name, np.zeros(shape, np.float32)


class Moments:
    """AdamW's state: a tensor for each parameter, or, as of the fp16 optimiser, all in one (make_master_params)."""

    def __init__(self, path, shapes):
        self.path, self.shapes = path, shapes
        found = load(path)
        if not isinstance(found, dict) or not isinstance(found.get("state"), dict):
            raise Refusal(f"{path}: is no state of an optimiser")
        self.state = [found["state"][i] for i in sorted(found["state"])]
        total = sum(int(np.prod(shape)) for shape in shapes.values())
        self.flat = len(self.state) == 1 and self.part(0, "exp_avg").numel() == total
        if not self.flat:
            self.check(len(shapes))
        steps = {int(entry["step"]) for entry in self.state}
        if len(steps) > 1:
            raise Refusal(f"{path}: its parameters have had different numbers of updates: {sorted(steps)}")
        self.updates = steps.pop() if steps else 0

    def part(self, i, what):
        entry = self.state[i]
        if not isinstance(entry, dict) or not torch.is_tensor(entry.get(what)) or "step" not in entry:
            raise Refusal(f"{self.path}: entry {i} has no step and {what}; is it a state of AdamW?")
        return entry[what]

    def check(self, n):
        if len(self.state) not in (0, n):
            raise Refusal(f"{self.path}: has moments of {len(self.state)} tensors; the model has {n}")
        for i, (name, shape) in enumerate(self.shapes.items()):
            for what in ("exp_avg", "exp_avg_sq") if self.state else ():
                if tuple(self.part(i, what).shape) != shape:
                    raise Refusal(f"{self.path}: {what} {i} is {list(self.part(i, what).shape)}, but {name}, whose "
                                  f"place it has, is {list(shape)}")

    def arrays(self, what):
        """name, array; in the parameters' order"""
        if not self.state:
            yield from zeros(self.shapes)
            return
        at = 0
        for i, (name, shape) in enumerate(self.shapes.items()):
            size = int(np.prod(shape))
            if self.flat:
                yield name, array_of(self.part(0, what)[at:at + size]).reshape(shape)
            else:
                yield name, array_of(self.part(i, what))
            at += size


# ---- theirs to ours ------------------------------------------------------------------------------------------------


def explain(source, weights, config, overrides):
    """Which configuration the tensors fit, by iddpm, which looks at names and shapes alone."""
    with tempfile.TemporaryDirectory() as folder:
        sketch = Path(folder) / "tensors.h5"
        Writer(sketch, 0, "", {f"params/{name}": ("f4", tuple(t.shape)) for name, t in weights.items()}).finish()
        said = iddpm_info(config, *overrides, "--fits", sketch, check=False)
    lines = said.stdout.splitlines()[1:] + said.stderr.splitlines()
    raise Refusal("\n".join([f"{source}: its tensors are not those of {config}:", *lines]))


def configure(source, weights, config, overrides):
    """The configuration's whole text, and {name: shape} of its network's parameters in order, which the weights fit."""
    rows = weights[LABELS].shape[0] if LABELS in weights else 0
    overrides += [f"num_classes={rows}"] if rows else []
    text, known = iddpm_info(config, *overrides, "--yaml").stdout, len(overrides)
    if rows and config_value(text, "model.label_dropout", 0) > 0:
        overrides.append(f"num_classes={rows - 1}")  # the last row is that of no class
    configured = config_value(text, "train.ema_rate")
    rates = source.rates(configured)
    if [rate for rate, _ in rates] != configured:
        overrides.append("train.ema_rate=" + ",".join(rate_text(rate) for rate, _ in rates))
    if len(overrides) > known:
        text = iddpm_info(config, *overrides, "--yaml").stdout
    lines = (line.split() for line in iddpm_info(config, *overrides, "--tensors").stdout.splitlines())
    shapes = {name: tuple(map(int, dims)) for name, *dims in lines}
    if {name: tuple(tensor.shape) for name, tensor in weights.items()} != shapes:
        explain(source.model, weights, config, overrides)
    return text, shapes, rates


def check_shapes(path, weights, shapes):
    for name, shape in shapes.items():
        if name not in weights or tuple(weights[name].shape) != shape:
            there = list(weights[name].shape) if name in weights else "missing"
            raise Refusal(f"{path}: {name} is {there}; in the model it is {list(shape)}")


def layout(shapes, groups):
    arrays = {f"{group}/{name}": ("f4", shape) for group in groups for name, shape in shapes.items()}
    arrays.update({f"train/{name}": ("i8", ()) for name in ("step", "updates", "skipped", "skipped_in_row")})
    arrays.update({f"train/{name}": ("f8", (METRIC_SLOTS,)) for name in ("metric_sums", "metric_counts")})
    arrays["train/isa"] = ("u1", (ISA_BYTES,))
    return arrays


def write_train(writer, step, updates):
    # fp16 skips updates; each of their resumptions counts one step twice
    skipped = max(0, step - updates) if updates else 0
    numbers = {"step": step, "updates": updates, "skipped": skipped, "skipped_in_row": 0}
    for name, number in numbers.items():
        writer.write(f"train/{name}", np.int64(number))
    for name in ("metric_sums", "metric_counts"):
        writer.write(f"train/{name}", np.zeros(METRIC_SLOTS))
    writer.write("train/isa", np.frombuffer(b"pytorch".ljust(ISA_BYTES, b"\0"), np.uint8))


def write_ema(writer, rate, path, weights, shapes):
    check_shapes(path, weights, shapes)
    for name in shapes:
        writer.write(f"ema/{rate_text(rate)}/{name}", array_of(weights[name]))


def write_arrays(writer, source, weights, shapes, rates):
    for name in shapes:
        writer.write(f"params/{name}", array_of(weights[name]))
    for rate, path in rates:
        alike = path in (None, source.model)
        write_ema(writer, rate, path or source.model, weights if alike else load_weights(path), shapes)
        print(f"ema/{rate_text(rate)}: {path.name if path else 'none there; the parameters'}")
    weights.clear()  # those of the optimiser are twice as many
    moments = Moments(source.optimizer, shapes) if source.optimizer else None
    for what in ("exp_avg", "exp_avg_sq"):
        for name, array in moments.arrays(what) if moments else zeros(shapes):
            writer.write(f"optimizer/{what}/{name}", array)
    if moments:
        print(f"optimizer: {source.optimizer.name}, {moments.updates} updates{', of the fp16 layout' * moments.flat}")
    else:
        print("optimizer: none there; moments are zero, and it has made no updates")
    write_train(writer, source.step, moments.updates if moments else 0)


def to_iddpm(arguments):
    source, out = Source(arguments.source, arguments.step), Path(arguments.out)
    run = out.suffix != ".h5"
    if run and (out / "config.yaml").exists():
        raise Refusal(f"{out} holds a run already; give another folder, or the name of a file that ends with .h5")
    weights = load_weights(source.model)
    overrides = arguments.overrides + ([f"run.dir={out}"] if run else [])
    text, shapes, rates = configure(source, weights, arguments.config, overrides)
    print(f"params: {source.model.name}, {len(shapes)} tensors, {sum(t.numel() for t in weights.values())} parameters, "
          f"step {source.step}{'' if source.whole or source.emas else ' (its name does not say: --step N)'}")
    path = out / "checkpoints" / f"step-{source.step:08d}.h5" if run else out
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    groups = ["params", *(f"ema/{rate_text(rate)}" for rate, _ in rates), "optimizer/exp_avg", "optimizer/exp_avg_sq"]
    try:
        writer = Writer(temporary, source.step, text, layout(shapes, groups))
        write_arrays(writer, source, weights, shapes, rates)
        writer.finish()
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if run:
        write_text(out / "config.yaml", text)
    print(f"wrote {path}")


# ---- ours to theirs ------------------------------------------------------------------------------------------------


def save(value, path):
    temporary = path.with_name(path.name + ".tmp")
    try:
        torch.save(value, temporary)
        sync(temporary)
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"wrote {path}")


def read_group(names, read, group):
    prefix = group + "/"
    return OrderedDict((name[len(prefix):], torch.from_numpy(read(name))) for name in names if name.startswith(prefix))


def optimizer_state(config, step, updates, exp_avg, exp_avg_sq, flat):
    """As AdamW.state_dict gives it; the learning rate is that of the last step."""
    lr, anneal = config_value(config, "train.lr"), config_value(config, "train.lr_anneal_steps", 0)
    if anneal:
        lr *= 1 - (step - 1) / anneal
    pairs = list(zip(exp_avg.values(), exp_avg_sq.values()))
    if flat:
        pairs = [tuple(torch.cat([pair[k].reshape(-1) for pair in pairs]) for k in (0, 1))]
    parameters = [torch.zeros(1) for _ in pairs]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=config_value(config, "train.weight_decay", 0))
    state = {i: {"step": torch.tensor(float(updates)), "exp_avg": first, "exp_avg_sq": second}
             for i, (first, second) in enumerate(pairs)}
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def to_pt(arguments):
    path, folder = Path(arguments.checkpoint), Path(arguments.folder)
    step, config, names, read = read_checked(path)
    if step == 0:
        raise Refusal(f"{path}: is of step 0; their modelN.pt is of step N + 1, the first is model000000.pt of step 1")
    params = read_group(names, read, "params")
    if not params:
        raise Refusal(f"{path}: has no parameters")
    folder.mkdir(parents=True, exist_ok=True)
    number = f"{step - 1:06d}"
    for group in dict.fromkeys(re.match(r"ema/[^/]+", name)[0] for name in names if name.startswith("ema/")):
        save(read_group(names, read, group), folder / f"ema_{float(group[4:])}_{number}.pt")
    updates = int(read("train/updates")) if "train/updates" in names else 0
    if updates:
        moments = [read_group(names, read, f"optimizer/{what}") for what in ("exp_avg", "exp_avg_sq")]
        save(optimizer_state(config, step, updates, *moments, arguments.fp16), folder / f"opt{number}.pt")
    else:
        print("no optimiser: it has made no updates")
    save(params, folder / f"model{number}.pt")  # last: theirs look for the others beside it
    if LABELS in params:
        print(f"{LABELS} has {len(params[LABELS])} rows: NUM_CLASSES of their script_util.py must be that")


# ---- the command ---------------------------------------------------------------------------------------------------


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    theirs = commands.add_parser("to-iddpm", help="the authors' files to a checkpoint or a run of iddpm")
    theirs.add_argument("source", metavar="FOLDER|FILE.pt")
    theirs.add_argument("out", metavar="OUT.h5|RUN", help="key=value of the configuration may follow")
    theirs.add_argument("--config", required=True, help="configuration of the model, such as jobs/configs/cifar10.yaml")
    theirs.add_argument("--step", type=int, help="training steps of a file whose name does not say (default 0)")
    theirs.set_defaults(run=to_iddpm)
    ours = commands.add_parser("to-pt", help="a checkpoint of iddpm to the authors' files")
    ours.add_argument("checkpoint", metavar="CHECKPOINT.h5")
    ours.add_argument("folder", metavar="FOLDER")
    ours.add_argument("--fp16", action="store_true", help="the optimiser's state as their --use_fp16 True reads it")
    ours.set_defaults(run=to_pt)
    arguments, arguments.overrides = parser.parse_known_args(words)
    wrong = [word for word in arguments.overrides if arguments.command == "to-pt" or not re.match(r"[\w.]+=", word)]
    if wrong:
        parser.error(f"{wrong[0]} is neither an option nor key=value")
    try:
        arguments.run(arguments)
    except (Refusal, OSError) as error:
        sys.exit(f"convert_checkpoint.py: {error}")


if __name__ == "__main__":
    main()
