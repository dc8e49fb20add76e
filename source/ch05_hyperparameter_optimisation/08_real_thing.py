# %% [markdown]
# ## 5.8 The real thing
#
# **optuna** has most of what you wrote. You give it a function of a *trial*: it asks the trial for values, reports losses on the way, and returns the last. The space is described while the function runs, so a condition is an `if`.

# %% tags=["demo", "shown"]
import functools

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


@functools.cache
def digits():
    from sklearn.datasets import load_digits

    pixels, classes = (torch.tensor(array) for array in load_digits(return_X_y=True))
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    return [((pixels[part] / 16).float(), classes[part]) for part in (order[:300], order[300:700])]


def objective(trial, epochs=9):
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    width = trial.suggest_int("width", 8, 128, log=True)
    decay = trial.suggest_float("weight_decay", 1e-5, 1.0, log=True)
    (images, classes), (other_images, other_classes) = digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
    for epoch in range(1, epochs + 1):
        for batch in torch.randperm(300).split(100):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), classes[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = F.cross_entropy(model(other_images), other_classes).item()
        trial.report(loss, epoch)
        if epoch < epochs and trial.should_prune():  # who has finished is not to be stopped
            raise optuna.TrialPruned
    return loss

# %% [markdown]
# A **sampler** proposes, a **pruner** stops. The default sampler is **TPE** (Bergstra et al., NIPS 2011). It splits the trials into the few best ones and the others, estimates a density of each, $\ell(x)$ and $g(x)$, and proposes, of 24 draws from $\ell$, the one with the largest $\ell / g$. So it needs no length scale, and takes conditions and categories. `GPSampler` is 5.3 and 5.4, with a fitted kernel
# and log EI. `HyperbandPruner` is the asynchronous kind of 5.6: a trial runs on until a rung finds it bad; none is paused or resumed. (For several objectives there is NSGA-II; 5.5 shows how its default of 50 members misleads.)
#
# **Predict:** which sampler is best after 20 trials, and by how much? Which share of the epochs does Hyperband save?

# %% tags=["demo", "nbval-ignore-output"]
def draw_optuna(n_trials=20, seeds=(0, 1, 2)):
    import warnings

    samplers = {
        "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
        "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
        "GP": lambda seed: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True),
    }
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.3))
    for (name, make), color in zip(samplers.items(), ("0.5", "C0", "C1"), strict=True):
        curves = []
        for seed in seeds:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental parts of the library
                study = optuna.create_study(sampler=make(seed), pruner=optuna.pruners.NopPruner())
                study.optimize(objective, n_trials)
            curves.append(np.minimum.accumulate([trial.value for trial in study.trials]))
        left.plot(range(1, n_trials + 1), np.mean(curves, axis=0), color=color, label=name)
        left.plot(range(1, n_trials + 1), np.transpose(curves), color=color, lw=0.6, alpha=0.6)
    left.set(xlabel="trials", ylabel="best validation loss", title="Samplers: mean and 3 seeds", ylim=(0.1, 0.6))
    left.legend(fontsize=8)

    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=27, reduction_factor=3)
    study = optuna.create_study(study_name="pruned", sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
    study.optimize(lambda trial: objective(trial, epochs=27), 60)
    marks = {optuna.trial.TrialState.PRUNED: ("x", "C3", "stopped early"), optuna.trial.TrialState.COMPLETE: ("o", "C0", "with 27 epochs")}
    for state, (mark, color, label) in marks.items():
        trials = [trial for trial in study.trials if trial.state == state]
        for trial in trials:
            middle.plot(list(trial.intermediate_values), list(trial.intermediate_values.values()), color=color, lw=0.7, marker=mark, markevery=[-1], ms=4)
        last = [list(trial.intermediate_values.values())[-1] for trial in trials]
        right.plot([trial.params["lr"] for trial in trials], last, mark, color=color, ms=5, label=f"{len(trials)} {label}")
    epochs = sum(len(trial.intermediate_values) for trial in study.trials)
    middle.set(xscale="log", yscale="log", xlabel="epoch", ylabel="validation loss", title=f"Hyperband: {epochs} of {27 * len(study.trials)} epochs")
    middle.set_xticks([1, 3, 9, 27], labels=["1", "3", "9", "27"])
    right.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="last validation loss", title="The same 60 trials")
    right.legend(fontsize=8)
    plt.show()


draw_optuna()

# %% [markdown]
# **Left.** With the same seed, all three draw the same first ten settings at random; then TPE and GP part from random search. After 20 trials GP is best in the mean, but TPE in one of three seeds: with few trials and a kind objective, the sampler is not what matters most. **Middle and right.** Hyperband trains a third to a half of the epochs (three seeds), and most of these with good
# learning rates. Two traps in optuna 5.0. It computes the number of brackets as `floor(log(R / r, eta))` in floating-point numbers, so $R = 243$ gives five instead of six, one of the mistakes of 5.6. And a pruner that is asked after the *last* epoch may still say yes; then the trial counts as stopped, not as a result.
#
# ### Several processes, one study
#
# A study can live in a **storage**. Then any number of processes may load it; each asks for a setting, trains, and writes its result, and nobody waits for anybody:

# %% tags=["demo", "shown"]
def work(journal, seed, number, n_trials):
    """What each process does; on a cluster, the same few lines are a script that is started many times."""
    backend = optuna.storages.journal.JournalFileBackend(journal)
    study = optuna.load_study(study_name="digits", storage=optuna.storages.JournalStorage(backend), sampler=optuna.samplers.TPESampler(seed=seed))

    def traced(trial):
        trial.set_user_attr("worker", number)
        return objective(trial)

    study.optimize(traced, n_trials=n_trials)  # that many trials in *this* process


def search_in_processes(seeds, n_trials=8, seconds=60):
    """A study by as many processes as there are seeds."""
    import multiprocessing
    import tempfile
    import time
    from pathlib import Path

    digits()  # before the processes are forked, so that all have it
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        journal = str(Path(folder, "journal.log"))
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(journal))
        study = optuna.create_study(study_name="digits", storage=storage)
        processes = [context.Process(target=work, args=(journal, seed, number, n_trials)) for number, seed in enumerate(seeds)]
        for process in processes:
            process.start()
        end = time.monotonic() + seconds
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
            process.kill()  # has no effect on those that have ended
        return study.trials

# %% [markdown]
# **Predict:** four processes, eight trials each. In the second run, all four samplers get *the same* seed. How many of its first twelve settings are different?

# %% tags=["demo", "nbval-ignore-output"]
def draw_processes():
    import multiprocessing

    if "fork" not in multiprocessing.get_all_start_methods():
        print("This system cannot fork processes. Start the script of the next paragraph several times instead.")
        return
    own, same = search_in_processes([0, 1, 2, 3]), search_in_processes([0, 0, 0, 0])
    if not all(any(trial.value is not None for trial in trials) for trials in (own, same)):
        print("The processes finished no trial within a minute, so there is nothing to draw.")
        return
    _, ax = plt.subplots(figsize=(8.5, 2.4))
    begin = min(trial.datetime_start for trial in own)
    duration = max((trial.datetime_complete - begin).total_seconds() for trial in own if trial.datetime_complete)
    for trial in own:
        if trial.datetime_complete is None:
            continue
        start, end = ((moment - begin).total_seconds() for moment in (trial.datetime_start, trial.datetime_complete))
        number = trial.user_attrs["worker"]
        ax.barh(number, end - start, left=start, color=f"C{number}", edgecolor="white")
        if end - start > 0.03 * duration:  # or else there is no room
            ax.text((start + end) / 2, number, trial.number, ha="center", va="center", fontsize=7.5, color="white")
    ax.set(xlabel="seconds", yticks=range(4), yticklabels=[f"process {i}" for i in range(4)], title="Trials, numbered in the order in which they were begun")
    ax.invert_yaxis()
    ax.grid(visible=False)
    plt.show()
    for name, trials in (("own seeds", own), ("the same seed", same)):
        first = [trial.params["lr"] for trial in trials[:12] if "lr" in trial.params]
        print(f"{name}: {len(trials)} trials, best loss {min(trial.value for trial in trials if trial.value is not None):.3f}; {len(set(first))} of the first {len(first)} settings are different")


draw_processes()

# %% [markdown]
# Each process has a sampler of its own, whose first settings are random. With equal seeds, all begin with the same settings and pay for them several times. So give each a seed of its own, or none. (`study.optimize(..., n_jobs=4)` uses threads, which share one interpreter: good for calls of other programs, less for Python.) `n_trials` counts for each process; `MaxTrialsCallback` stops at a number for the whole study.
#
# | where | storage (optuna's manual, *Easy Parallelization*) |
# |---|---|
# | threads | none needed |
# | processes on one machine | `JournalStorage` on a file, as here, or a database |
# | several machines | a database server, PostgreSQL or MySQL: `storage="postgresql://..."` |
# | thousands of processes | `GrpcStorageProxy` in front of that database |
#
# SQLite (`"sqlite:///study.db"`) is fine for one process that may be interrupted; in parallel, "we would never recommend" it, says the documentation of `RDBStorage`. The journal's lock is made for network disks, too, but it writes a line for each report, one writer at a time: report epochs, not batches.
#
# ### On a cluster
#
# With a database, nothing else is needed: start `python search.py` as an array job, as often as there are GPUs. Two libraries start the workers for you. **Dask**, with optuna's storage on its scheduler:
#
# ```python
# from dask.distributed import Client, wait
# from optuna_integration import DaskStorage  # pip install optuna-integration distributed
#
# with Client("tcp://scheduler:8786") as client:  # Client() starts workers on this machine
#     study = optuna.create_study(storage=DaskStorage())
#     wait([client.submit(study.optimize, objective, n_trials=10, pure=False) for _ in range(8)])
#     print(study.best_params)
# ```
#
# **Ray Tune** also places trials on GPUs, stops them, and saves checkpoints. Its ASHA does the stopping, optuna only proposes:
#
# ```python
# from ray import tune  # pip install "ray[tune]" optuna
# from ray.tune.schedulers import ASHAScheduler
# from ray.tune.search.optuna import OptunaSearch
#
# def train(config):
#     for loss in train_epochs(config["lr"], config["width"]):  # your loop, one loss an epoch
#         tune.report({"loss": loss})
#
# tuner = tune.Tuner(
#     tune.with_resources(train, {"cpu": 2, "gpu": 1}),
#     param_space={"lr": tune.loguniform(1e-4, 1.0), "width": tune.lograndint(8, 129)},
#     tune_config=tune.TuneConfig(
#         metric="loss", mode="min", num_samples=100, max_concurrent_trials=8,
#         search_alg=OptunaSearch(), scheduler=ASHAScheduler(max_t=27, reduction_factor=3),
#     ),
# )
# print(tuner.fit().get_best_result().config)
# ```
#
# ### What changes when nobody waits
#
# - **Stale information.** With $W$ workers, each proposal is made without the results of the $W - 1$ trials that still run, as in an asynchronous parameter server (4.4).
# - **Constant liar.** If running trials were ignored, all workers would ask at the same place. So they are counted as finished, with a made-up result: the *constant liar* (Ginsbourger et al., 2010). TPE in optuna 5 counts them among the bad trials, unless `constant_liar=False`; `GPSampler` needs no lie: it averages the improvement over what its Gaussian process expects of the running trials (5.3).
# - **Reproducibility.** Which trial gets which number, and what a sampler knows then, depends on who finishes first. A seed does not fix that; optuna's FAQ advises to run sequentially if results must be repeated. Log settings, seeds and results, and train the chosen one again (5.7).
# - **The dead.** A process that was killed leaves a trial that *runs* forever, and TPE keeps away from its setting. With a database, `heartbeat_interval` finds such trials.
#
# How much does it cost? Branin's function, 64 trials, medians over eight seeds: with TPE one worker comes within 0.07 of the minimum; 16 workers within 0.34 if running trials are ignored, within 0.17 with the liar; random search, for which nothing is stale, within 0.86. So 16 workers are almost 16 times as fast, for a somewhat worse result; more trials make up for that.
#
# **Change, predict, run.** In the cell of the two runs, give all four processes no seed at all: `search_in_processes([None] * 4)`. Are the settings different? Would they be, if the study and its sampler were sent to the workers, as Dask does?
#
# <details><summary>Answer</summary>
#
# Yes, both times: without a seed, optuna draws one in each process, when it is first needed. With `TPESampler(seed=0)` Dask sends copies of the same sampler: in a test with two workers, only 11 of 20 settings were different.
# </details>
