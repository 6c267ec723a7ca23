"""For cli/test_convert.sh: files as the authors' TrainLoop leaves them, made with PyTorch alone from checkpoints of
ours, and conversions compared value by value. Works in the current folder; a line for each failure, and status 1.

usage: authors_files.py REPOSITORY
"""
import contextlib
import io
import pickle
import shutil
import sys
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import torch

sys.path.insert(0, sys.argv[1] + "/jobs")
import convert_checkpoint as convert

failures = 0


def complain(text):
    global failures
    failures += 1
    print(f"FAILED: {text}")


def run(*words):
    """The command's text, and its error or None."""
    text, error = io.StringIO(), None
    with contextlib.redirect_stdout(text):
        try:
            convert.main([str(word) for word in words])
        except SystemExit as end:
            error = str(end.code)
    return text.getvalue(), error


def works(*words):
    text, error = run(*words)
    if error is not None:
        complain(f"{words}: {error}")
    return text


def refuses(text, *words):
    """An error, and no file left behind."""
    _, error = run(*words)
    if error is None or text not in error:
        complain(f"{words}: '{text}' is not in '{error}'")
    if words[0] == "to-iddpm" and Path(words[2]).exists():
        complain(f"{words}: {words[2]} is there")


def arrays(path, *but):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return {name: value for name, value in found.items() if name not in but + ("checksums",)}


def same(one, other, what):
    """Two tables of arrays, bit for bit."""
    for name in sorted(one.keys() ^ other.keys()):
        complain(f"{what}: {name} is in one alone")
    for name in one.keys() & other.keys():
        a, b = np.asarray(one[name]), np.asarray(other[name])
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            complain(f"{what}: {name} differs")


def group(table, prefix):
    return {name[len(prefix) + 1:]: value for name, value in table.items() if name.startswith(prefix + "/")}


def numbers(state):
    return {name: tensor.numpy() for name, tensor in state.items()}


def save_old(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


# ---- ours to theirs, and back --------------------------------------------------------------------------------------


def there_and_back(ours):
    works("to-pt", ours, "theirs")
    if sorted(file.name for file in Path("theirs").iterdir()) != [
            "ema_0.5_000003.pt", "ema_0.9_000003.pt", "model000003.pt", "opt000003.pt"]:
        complain(f"files: {list(Path('theirs').iterdir())}")
    table = arrays(ours)
    model = torch.load("theirs/model000003.pt")
    same(numbers(model), group(table, "params"), "modelN.pt")
    same(numbers(torch.load("theirs/ema_0.9_000003.pt")), group(table, "ema/0.9"), "ema_RATE_N.pt")
    with h5py.File(ours) as file:
        order = [row["path"].decode()[7:] for row in file["checksums"] if row["path"].startswith(b"params/")]
    if list(model) != order:
        complain("modelN.pt has another order")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(tensor) for tensor in model.values()], lr=1)
    optimizer.load_state_dict(torch.load("theirs/opt000003.pt"))
    settings = {key: optimizer.param_groups[0][key] for key in ("lr", "betas", "eps", "weight_decay")}
    if settings != {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}:
        complain(f"settings of the optimiser: {settings}")
    for i, name in enumerate(order):
        entry = optimizer.state_dict()["state"][i]
        if int(entry["step"]) != 4:
            complain(f"{name}: {entry['step']} updates")
        for what in ("exp_avg", "exp_avg_sq"):
            same({name: entry[what].numpy()}, {name: table[f"optimizer/{what}/{name}"]}, what)
    works("to-iddpm", "theirs", "zip.h5", "--config", "tiny.yaml")
    same(arrays("zip.h5", "train/isa"), arrays(ours, "train/isa"), "there and back")


def annealed_rate():
    text = "train:\n  batch_size: 1\n  lr: 0.001\n  weight_decay: 0.05\n  lr_anneal_steps: 8\n"
    one = {"a": torch.zeros(2)}
    settings = convert.optimizer_state(text, 3, 3, one, one, False)["param_groups"][0]
    if settings["lr"] != 0.001 * (1 - 2 / 8) or settings["weight_decay"] != 0.05:
        complain(f"annealed: {settings}")


# ---- the older file format, and the fp16 optimiser -----------------------------------------------------------------


def flat_optimizer(names):
    """The moments in one tensor, as make_master_params lays parameters out; the older PyTorch's step is a number."""
    state = torch.load("theirs/opt000003.pt")
    entries = state["state"].values()
    flat = {what: torch.cat([entry[what].reshape(-1) for entry in entries]) for what in ("exp_avg", "exp_avg_sq")}
    state["state"] = {0: {"step": 3, **flat}}  # one step less: fp16 training passes over those that overflow
    state["param_groups"][0]["params"] = [0]
    return state


def older_files(ours):
    """Pickles as before PyTorch 1.6, half precision in the torso, and one rate of two."""
    Path("older").mkdir()
    model = torch.load("theirs/model000003.pt")
    half = OrderedDict((name, torch.nn.Parameter(tensor.half() if "_blocks" in name else tensor))
                       for name, tensor in model.items())
    save_old(half, "older/model000003.pt")
    save_old(torch.load("theirs/ema_0.9_000003.pt"), "older/ema_0.9_000003.pt")
    save_old(torch.load("theirs/ema_0.5_000003.pt"), "older/ema_0.5_000002.pt")  # of another step
    save_old(flat_optimizer(list(model)), "older/opt000003.pt")
    save_old(half, "older/model000001.pt")
    text = works("to-iddpm", "older", "flat", "--config", "tiny.yaml", "weight_decay=0")
    if "fp16" not in text:
        complain(f"not said to be of the fp16 layout: {text}")
    got, want = arrays("flat/checkpoints/step-00000004.h5"), arrays(ours)
    same(group(got, "optimizer"), group(want, "optimizer"), "flat moments")
    same(group(got, "ema"), {"0.9/" + name: value for name, value in group(want, "ema/0.9").items()}, "older EMA")
    single = {name: tensor.float().detach().numpy() for name, tensor in half.items()}
    same(group(got, "params"), single, "half precision")
    if (got["train/updates"], got["train/skipped"], got["train/step"]) != (3, 1, 4):
        complain(f"updates {got['train/updates']}, skipped {got['train/skipped']}, step {got['train/step']}")
    state = flat_optimizer([])
    state["state"][0]["step"] = 6  # a resumed TrainLoop counts a step twice
    save_old(state, "older/opt000003.pt")
    works("to-iddpm", "older", "resumed.h5", "--config", "tiny.yaml")
    got = arrays("resumed.h5")
    if (got["train/updates"], got["train/skipped"]) != (6, 0):
        complain(f"resumed: updates {got['train/updates']}, skipped {got['train/skipped']}")
    works("to-pt", ours, "fp16", "--fp16")
    flat, made = flat_optimizer([])["state"][0], torch.load("fp16/opt000003.pt")["state"]
    same({what: made[0][what].numpy() for what in ("exp_avg", "exp_avg_sq")},
         {what: flat[what].numpy() for what in ("exp_avg", "exp_avg_sq")}, "--fp16")


# ---- single files --------------------------------------------------------------------------------------------------


def single_files(ours):
    table, zeros = arrays(ours), {}
    shutil.copy("theirs/ema_0.9_000003.pt", "released_50M_500K.pt")
    works("to-iddpm", "released_50M_500K.pt", "single.h5", "--config", "tiny.yaml", "--step", 500)
    got = arrays("single.h5")
    for weights in ("params", "ema/0.5", "ema/0.9"):
        same(group(got, weights), group(table, "ema/0.9"), f"released file, {weights}")
    zeros = {name: np.zeros_like(value) for name, value in group(table, "optimizer").items()}
    same(group(got, "optimizer"), zeros, "no moments")
    if (got["train/step"], got["train/updates"], got["train/skipped"]) != (500, 0, 0):
        complain("step of a single file")
    Path("alone").mkdir()
    shutil.copy("released_50M_500K.pt", "alone/ema_0.25_000007.pt")
    works("to-iddpm", "alone/ema_0.25_000007.pt", "ema.h5", "--config", "tiny.yaml")
    got = arrays("ema.h5")
    same(group(got, "ema"), {"0.25/" + name: value for name, value in group(got, "params").items()}, "an EMA alone")
    if got["train/step"] != 8:
        complain("step of an EMA")
    shutil.copy("theirs/model000003.pt", "alone/model000009.pt")
    works("to-iddpm", "alone", "alone.h5", "--config", "tiny.yaml", "ema_rate=1e-5,0.5")
    got = arrays("alone.h5")
    same(group(got, "ema/1.0e-05"), group(table, "params"), "a model without EMAs")


def more_classes():
    """Rows of label_emb beyond the ten classes of the data set."""
    model = torch.load("theirs/model000003.pt")
    names = list(model)
    rows = torch.linspace(-1, 1, 12 * 128).reshape(12, 128)
    items = [(name, model[name]) for name in names]
    items.insert(names.index("input_blocks.0.0.weight"), ("label_emb.weight", rows))
    Path("classes").mkdir()
    torch.save(OrderedDict(items), "classes/model000003.pt")
    works("to-iddpm", "classes", "classes-run", "--config", "tiny.yaml", "class_cond=1")
    got = arrays("classes-run/checkpoints/step-00000004.h5")
    same({"rows": got["params/label_emb.weight"]}, {"rows": rows.numpy()}, "rows of label_emb")
    works("to-iddpm", "classes", "dropout.h5", "--config", "tiny.yaml", "class_cond=1", "label_dropout=0.1")
    if "  num_classes: 11\n" not in convert.read_checked("dropout.h5")[1]:
        complain("the last row is that of no class")
    works("to-pt", "classes-run/checkpoints/step-00000004.h5", "classes-back")
    if Path("classes-back/opt000003.pt").exists():
        complain("an optimiser that made no updates")


# ---- refusals ------------------------------------------------------------------------------------------------------


class Command:
    def __reduce__(self):
        return print, ("this must not run",)


def changed(name, change):
    """A file of the model with something changed."""
    model = torch.load("theirs/model000003.pt")
    change(model)
    torch.save(model, name)
    return name


def refusals(ours):
    to, end = "to-iddpm", ("bad.h5", "--config", "tiny.yaml")
    first = "input_blocks.0.0.weight"
    for text in (f"fits             no configuration: {first} is missing",
                 f"{first} is missing; the configuration's network has it, [32][1][3][3]"):
        refuses(text, to, changed("bad.pt", lambda model: model.pop(first)), *end)
    for text in ("fits             no configuration: of the nearest, 1 tensors differ",
                 "extra [2]: the configuration's network has none of that name"):
        refuses(text, to, changed("bad.pt", lambda model: model.update(extra=torch.zeros(2))), *end)
    refuses("out.2.bias is [3], the configuration's network has [2]", to,
            changed("bad.pt", lambda model: model.update({"out.2.bias": torch.zeros(3)})), *end)
    refuses("it would fit with model.channel_mult=1", to, "theirs", *end, "channel_mult=1,2")
    refuses("label_emb.weight [12][128]: the configuration's network has none", to, "classes", *end)
    refuses("numbers of type torch.int64", to,
            changed("bad.pt", lambda model: model.update({first: torch.zeros(3, dtype=torch.int64)})), *end)
    for save in (torch.save, save_old):
        save({"weight": Command()}, "bad.pt")
        refuses("it asks for __builtin__.print", to, "bad.pt", *end)
    Path("bad.pt").write_bytes(pickle.dumps(Command()))
    refuses("cannot be read as weights of PyTorch", to, "bad.pt", *end)
    refuses("is no state dict", to, "theirs/opt000003.pt", *end)
    refuses("holds no modelN.pt", to, ".", *end)
    refuses("nowhere: no such file or folder", to, "nowhere", *end)
    refuses("says how many steps", to, "theirs/model000003.pt", *end, "--step", 7)
    refuses("num_chanels: unknown key", to, "theirs", *end, "num_chanels=7")
    refuses("2", to, "theirs", *end, "word")
    _, error = run(to, "theirs", "flat", "--config", "tiny.yaml")
    if error is None or "holds a run already" not in error:
        complain(f"a run that is there: {error}")
    refuse_optimizers(to, end)
    refuses("is of step 0", "to-pt", "zero.h5", "none")
    data = bytearray(Path(ours).read_bytes())
    with h5py.File(ours) as file:
        data[file["params/out.2.weight"].id.get_offset()] ^= 1
    Path("damaged.h5").write_bytes(data)
    refuses("damaged: the checksum of params/out.2.weight", "to-pt", "damaged.h5", "none")
    refuses("cannot be opened as HDF5", "to-pt", "tiny.yaml", "none")


def refuse_optimizers(to, end):
    Path("mixed").mkdir()
    shutil.copy("theirs/model000003.pt", "mixed")
    whole = torch.load("theirs/opt000003.pt")

    def refuse(text, change):
        state = {i: dict(entry) for i, entry in whole["state"].items()}
        change(state)
        torch.save({"state": state, "param_groups": whole["param_groups"]}, "mixed/opt000003.pt")
        refuses(text, to, "mixed", *end)

    refuse("has moments of 87 tensors; the model has 88", lambda state: state.pop(5))
    refuse("different numbers of updates: [4, 7]", lambda state: state[5].update(step=7))
    refuse("exp_avg_sq 0 is [3], but time_embed.0.weight", lambda state: state[0].update(exp_avg_sq=torch.zeros(3)))
    refuse("entry 3 has no step and exp_avg", lambda state: state[3].pop("exp_avg"))


def main():
    ours = "run/checkpoints/step-00000004.h5"
    there_and_back(ours)
    annealed_rate()
    older_files(ours)
    single_files(ours)
    more_classes()
    works("to-iddpm", "released_50M_500K.pt", "zero.h5", "--config", "tiny.yaml")
    refusals(ours)
    sys.exit(failures > 0)


main()
