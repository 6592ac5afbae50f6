"""What a person sees: the table, the live progress, the store's state. Returns renderables; prints nothing."""

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from algorithms import METHODS, NAMED, SMALL
from harness.assess import COMPETITION_RUNS, RULE_EPOCHS, RULE_SHARE, Assessment
from harness.benchmark import Benchmark, Described
from harness.candidate_file import defaults
from harness.cluster import Compute
from harness.console import duration
from harness.evaluation import Evaluation
from harness.leaderboard import Leaderboard, Row, make_row
from harness.report import comparison_text, projected_text
from harness.reproduction import Reproduction, Statement, TableResult
from harness.spread import Spread
from harness.sweep import Trial
from harness.trial import TriedRun
from scoring import LEVEL, MODES, Ceiling, Score

NONE = "–"
VERDICTS = {"holds": "hold", "fails": "fail", "tied": "are tied", "open": "are open"}


def show_leaderboard(board: Leaderboard, benchmark: Described) -> RenderableType:
    """The table, its reading aid, and what failed."""
    mode = "" if board.mode == "released" else f", mode {board.mode}"
    heading = Text(f"{title(benchmark)}, N = {board.reference.wanted}{mode}", style="bold")
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("algorithm", overflow="fold")
    for name in ("score\n95 % interval", "F\nof ceiling", "retain acc\nratio", "test acc\nratio", "forget acc",
                 "runs", "s/run", "of retrain\nof 30 epochs"):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for row in board.rows:
        table.add_row(rank_text(row, board), *_cells(row))
    quality, score = NONE, NONE
    if board.ceiling:
        quality = f"{board.ceiling.quality:.4f}\n100.0%"
        score = f"{board.ceiling.quality:.4f}\n± {board.ceiling.spread:.4f}"
    accuracies = _accuracies(board.reference, None, None)
    table.add_row("", _flagged("retrain\n(the reference)", board.reference), score, quality, *accuracies,
                  *_cost(board.reference))  # fmt: skip
    if not MODES[board.mode].is_bound:
        table.add_row("", "original\n(untouched)", "0.0000", "0.0000\n0.0%", *[""] * 6)
    return Group(heading, table, *_notes(board))


def show_reproduction(
    reproduction: Reproduction, evaluation: Evaluation, top: Ceiling | None, tables: list[TableResult]
) -> RenderableType:
    """Each table of a publication beside ours, and what becomes of its order statements."""
    mode = "" if evaluation.mode == "released" else f", mode {evaluation.mode}"
    said: dict[tuple[str, str], dict[str, None]] = {}  # warnings, and whose they are
    parts: list[RenderableType] = [
        Text(f"{reproduction.title}: {title(evaluation.benchmark)}, N = {evaluation.runs}{mode}", style="bold")
    ]
    if top:
        banks = f"{top.splits} splits into two banks of {top.runs}"
        parts.append(Text(f"Ceiling: F = {top.quality:.4f} ± {top.spread:.4f} ({banks}). Intervals are over runs."))
    unknown = "" if reproduction.lr_known else " (no factor is known for this data set)"
    parts.append(
        Text(f"Learning rates are the writeup's times {reproduction.lr_factor:g}{unknown}; presets keep theirs.")
    )
    for result in tables:
        table = Table(title=result.table.name, title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("row", overflow="fold")
        for name in ("writeup", "our score", "95 % interval", "F", "of ceiling", "retain", "test", "F at 512"):
            table.add_column(name, justify="right")
        for row in result.table.rows:
            found = result.assessments[row.label]
            label = f"{row.label} *" if found and found.warnings else row.label
            table.add_row(label, *_reproduced(row.writeup, found))
            for warning in found.warnings if found else ():
                said.setdefault((warning.name, warning.text), {})[row.run] = None
        parts.append(table)
        parts += [Text(_statement_text(statement)) for statement in result.statements]
    verdicts = [s.verdict for result in tables for s in result.statements]
    counts = (f"{verdicts.count(name)} {word}" for name, word in VERDICTS.items() if name in verdicts)
    parts.append(Text(f"\nOf {len(verdicts)} order statements: {', '.join(counts)}.", style="bold"))
    levels = {s.comparison.level for result in tables for s in result.statements if s.comparison}
    parts += [
        Text(f"Each is tested at {level:.2%}, so that all together are right with {LEVEL:.0%} (Bonferroni).")
        for level in levels
    ]
    reference, epochs = evaluation.reference, evaluation.benchmark.recipe.epochs
    for warning in make_row(reference, reference, evaluation.runs, epochs, None, 0, {}).warnings:
        said.setdefault((warning.name, warning.text), {})["retrain"] = None
    parts += [Text(f"* Warning ({name}): {', '.join(runs)}: {text}") for (name, text), runs in said.items()]
    return Group(*parts)


def show_algorithms() -> RenderableType:
    """Every algorithm of ours: whose it is, what it does, what it reads, and what can be set."""
    parts: list[RenderableType] = []
    for method in METHODS:
        summary = (inspect.getdoc(method.function) or "").splitlines()[0]
        searched = [f"small ({dataset})" for owner, dataset in SMALL if owner == method.name]
        names = [method.published, *(name for owner, name in NAMED if owner == method.name), *searched]
        values = [f"{name}={json.dumps(value)}" for name, value in defaults(method.function).items()]
        reads = " and ".join(method.reads) or "no set"
        about = f"  ({method.paper}; reads {reads}; presets {', '.join(names)})"
        parts.append(Text.assemble((method.name, "bold"), about))
        parts += [Padding(Text(line), (0, 0, 0, 4)) for line in (summary, " ".join(values)) if line]
    note = (
        "Take a preset as NAME:PRESET. `small` is taken by itself where the data set has one, else the published one."
    )
    return Group(*parts, Text(f"\n{note}"))


def show_sweep(made: Sequence[Trial], chosen: Sequence[Trial], benchmark: Benchmark) -> RenderableType:
    """The settings of each algorithm by rank, and how to take the best ones."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("rank", justify="right")
    table.add_column("setting", overflow="fold")
    for name in ("score", "95 % interval", "of ceiling", "retain acc", "test acc", "runs", "of 30 epochs"):
        table.add_column(name, justify="right")
    for trial in made:
        row, score = trial.row, trial.row.score
        table.add_row(
            str(row.rank or NONE),
            escape(trial.setting.algorithm.name),
            f"{score.score:.4f}" if score else NONE,
            f"{score.interval[0]:.4f} … {score.interval[1]:.4f}" if score and score.interval else NONE,
            f"{score.share_of_ceiling:.1%}" if score and score.share_of_ceiling is not None else NONE,
            *(f"{value:.2%}" if value is not None else NONE for value in (row.retain_accuracy, row.test_accuracy)),
            _cost(row)[0],
            (f"{row.cost.share_of_30_epochs:.0%}" if row.cost else NONE) + ("" if trial.allowed else " !"),
        )
    notes: list[RenderableType] = [Text(f"Development split of {title(benchmark)}.", style="bold"), table]
    notes.append(
        Text(
            "rank: 1 + the settings of the algorithm that are significantly better (all its pairs together at "
            f"{LEVEL:.0%}, Bonferroni), so that neighbours may be tied. Nothing here was scored."
        )
    )
    notes += [
        Text(f"Warning ({name}): {', '.join(labels)}: {text}")
        for (name, text), labels in _warnings(trial.row for trial in made).items()
        if name != "several-settings"  # that is what a sweep is
    ]
    notes += [Text(f"{t.setting.algorithm.name}: failed: {t.row.failure.error}") for t in made if t.row.failure]
    notes += [
        Text(f"best: {t.setting.algorithm.name}: {t.setting.set_line or 'as it is'}") for t in chosen if t.row.score
    ]
    return Group(*notes)


def _reproduced(writeup: float | None, found: Assessment | None) -> list[str]:
    printed = NONE if writeup is None else f"{writeup:.5f}".removesuffix("0")
    if found is None:
        return [printed, *[NONE] * 7]
    score, projected = found.score, found.projected
    return [
        printed,
        f"{score.score:.4f}",
        f"{score.interval[0]:.4f} … {score.interval[1]:.4f}" if score.interval else NONE,
        f"{score.forgetting_quality:.4f}",
        f"{score.share_of_ceiling:.1%}" if score.share_of_ceiling is not None else NONE,
        *(f"{ratio:.4f}" if ratio is not None else NONE for ratio in (score.retain_ratio, score.test_ratio)),
        f"{projected.quality:.4f}" if projected else NONE if score.runs < COMPETITION_RUNS else "as F",
    ]


def _statement_text(statement: Statement) -> str:
    said = f"  {statement.better} > {statement.worse}: {statement.verdict}"
    comparison = statement.comparison
    if comparison is None:
        return said
    return f"{said}, by {comparison.difference:.4f} ({comparison.interval[0]:.4f} … {comparison.interval[1]:.4f})"


def rank_text(row: Row, board: Leaderboard) -> str:
    """'2', or '2 =' where others share the rank."""
    if row.rank is None:
        return NONE
    shared = sum(other.rank == row.rank for other in board.rows) > 1
    return f"{row.rank} =" if shared else str(row.rank)


def _flagged(name: str, row: Row) -> str:
    """With a mark where the notes below the table have a warning for it."""
    return f"{escape(name)} *" if row.warnings else escape(name)


def _cells(row: Row) -> list[str]:
    result = row.score
    if result is None:
        return [_flagged(row.algorithm, row), NONE, NONE, *_accuracies(row, None, None), *_cost(row)]
    share = f"{result.share_of_ceiling:.1%}" if result.share_of_ceiling is not None else NONE
    return [
        _flagged(row.algorithm, row),
        _score_cell(result),
        f"{result.forgetting_quality:.4f}\n{share}",
        *_accuracies(row, result.retain_ratio, result.test_ratio),
        *_cost(row),
    ]


def _score_cell(result: Score | None) -> str:
    if result is None:
        return NONE
    interval = f"{result.interval[0]:.4f} … {result.interval[1]:.4f}" if result.interval else NONE
    return f"{result.score:.4f}\n{interval}"


def _accuracies(row: Row, retain_ratio: float | None, test_ratio: float | None) -> list[str]:
    values = (row.retain_accuracy, retain_ratio), (row.test_accuracy, test_ratio), (row.forget_accuracy, None)
    return [
        (f"{accuracy:.2%}" if accuracy is not None else NONE) + (f"\n{ratio:.4f}" if ratio is not None else "")
        for accuracy, ratio in values
    ]


def _cost(row: Row) -> list[str]:
    runs = f"{row.runs}" if row.runs == row.wanted else f"{row.runs} of {row.wanted}"
    if row.cost is None:
        return [runs, NONE, NONE]
    return [
        runs,
        f"{row.cost.seconds:.2f}",
        f"{row.cost.share:.0%}\n{row.cost.share_of_30_epochs:.0%}{' !' if too_slow(row) else ''}",
    ]


def too_slow(row: Row) -> bool:
    """Whether a candidate takes more than the competition's share."""
    return row.score is not None and row.cost is not None and row.cost.too_slow


def _notes(board: Leaderboard) -> Iterator[RenderableType]:
    if board.ceiling:
        yield Text(
            "Read it so: perfect is not 1 but the ceiling, "
            f"F = {board.ceiling.quality:.4f} ± {board.ceiling.spread:.4f} "
            f"(retraining against itself, {board.ceiling.splits} splits into two banks of {board.ceiling.runs}). "
            f"Intervals are over runs."
        )
    elif any(row.score for row in board.rows):
        yield Text("Ceiling and intervals need at least 8 runs a side.")
    if MODES[board.mode].is_bound:
        yield Text(f"F in mode {board.mode} is an upper bound: these rows are no ranking.")
    elif any(row.score for row in board.rows):
        yield Text(_floor(board))
    for row in board.rows:
        if row.assessment and row.assessment.projected:
            yield Text(f"{row.algorithm}: F {projected_text(row.assessment)}.")
        if row.score is not None and not row.ranked and not MODES[board.mode].is_bound:
            yield Text(f"{row.algorithm} is not ranked with the others: its N is {row.score.runs}, and F falls with N.")
    if board.pairings and board.level > LEVEL:
        yield Text(
            f"rank: 1 + the rows that are significantly better; = shares it. Each of {len(board.pairings)} pairs is "
            f"compared at {board.level:.2%}, so that all together hold with {LEVEL:.0%} (Bonferroni)."
        )
    places = {row.algorithm: place for place, row in enumerate(board.rows)}
    for pairing in board.pairings:
        if places[pairing.worse] == places[pairing.better] + 1:
            yield Text(comparison_text(pairing.better, pairing.worse, pairing.comparison) + ".")
    if any(map(too_slow, board.rows)):
        yield Text(f"! slower than {RULE_SHARE:.0%} of 30 epochs of the recipe, which the competition did not allow.")
    for (name, text), rows in _warnings((board.reference, *board.rows)).items():
        yield Text(f"* Warning ({name}): {', '.join(rows)}: {text}")
    for row in board.rows:
        if row.failure is not None:
            yield Text(
                f"{row.algorithm}: {row.failed} of {row.wanted} runs failed; seed {row.failure.seed}: "
                f"{row.failure.error}"
            )
            if row.failure.output.strip():
                yield Text(
                    "  its last output:\n"
                    + "\n".join("  | " + line for line in row.failure.output.strip().splitlines()[-5:])
                )


def _warnings(rows: Iterable[Row]) -> dict[tuple[str, str], list[str]]:
    """(name, text) of each warning -> whose it is."""
    said: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for warning in row.warnings:
            said.setdefault((warning.name, warning.text), []).append(row.algorithm)
    return said


def _floor(board: Leaderboard) -> str:
    original = "The floor: the untouched original scores 0 (it has no spread, so every ε is 50)"
    if board.floor is None:
        return f"{original}; `evaluate finetune` gives that of fine-tuning."
    interval = f" ({board.floor.interval[0]:.4f} … {board.floor.interval[1]:.4f})" if board.floor.interval else ""
    return f"{original}, fine-tuning {board.floor.score:.4f}{interval} at N = {board.floor.runs}."


def show_original(evaluation: Evaluation) -> Text:
    """The original model that the runs above started from."""
    accuracies = evaluation.original_accuracies or {}
    words = ", ".join(f"{name.removesuffix('_accuracy')} {value:.2%}" for name, value in accuracies.items())
    number = "given" if evaluation.original_number is None else f"number {evaluation.original_number}"
    return Text(
        f"Unlearned from the original model {number} ({evaluation.original_sha256[:12]}), its accuracy: {words}."
    )


def show_tried(trial: TriedRun, benchmark: Benchmark) -> RenderableType:
    """Accuracies before and after, the cost, and what looks unintended."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("accuracy")
    for name in ("original", "unlearned", *(["retrained"] if trial.retrained else [])):
        table.add_column(name, justify="right")
    for kind, value in trial.before.items():
        cells = [f"{value:.2%}", f"{trial.after[kind]:.2%}"]
        if trial.retrained:
            cells.append(f"{trial.retrained[kind]:.2%}" if kind in trial.retrained else NONE)
        table.add_row(kind.removesuffix("_accuracy"), *cells)
    share = trial.seconds / trial.retraining
    of_30_epochs = share * benchmark.recipe.epochs / RULE_EPOCHS
    mark = f", more than the {RULE_SHARE:.0%} that the competition allowed" if of_30_epochs > RULE_SHARE else ""
    return Group(
        Text(f"{title(benchmark)}\n{trial.algorithm}, seed {trial.seed}", style="bold"),
        table,
        Text(f"{trial.seconds:.2f} s: {share:.0%} of a retraining ({trial.timed})."),
        Text(f"That is {of_30_epochs:.0%} of 30 epochs of the recipe{mark}."),
        *(Text(f"Warning: {line}.") for line in trial.warnings),
    )


def show_spread(spreads: Iterable[Spread]) -> RenderableType:
    """Scores from several original models, and what of their spread the runs explain."""
    spreads = list(spreads)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("algorithm", overflow="fold")
    for number in range(len(spreads[0].scores) if spreads else 0):
        table.add_column(f"original {number}\n95 % interval", justify="right", overflow="fold")
    for name in ("mean", "between\noriginals", "of the\nruns", "of originals\nalone"):
        table.add_column(name, justify="right", overflow="fold")
    for spread in spreads:
        numbers = (spread.mean, spread.between, spread.runs, spread.originals)
        table.add_row(
            escape(spread.algorithm),
            *(_score_cell(score) for score in spread.scores),
            *(NONE if number is None else f"{number:.4f}" for number in numbers),
        )
    return Group(
        Text("Scores by original model", style="bold"),
        table,
        Text(
            "Read it so: between originals is the standard deviation of their scores; of the runs is one score's "
            "standard error over other runs; of originals alone is what the runs do not explain, √(between² - runs²)."
        ),
    )


def title(benchmark: Described) -> str:
    identity = benchmark.identity
    forget, retain = (identity["split"][part]["examples"] for part in ("forget", "retain"))
    return (
        f"{benchmark.name}, {identity['model']['name']}, {forget} of {forget + retain} forgotten, "
        f"{identity['recipe']['epochs']} epochs, {identity['precision']}, benchmark {benchmark.fingerprint[:12]}"
    )


def show_plan(evaluation: Evaluation, compute: Compute) -> RenderableType:
    """What is missing, and how long it would take."""
    place = "CPU cores" if compute.device == "cpu" else f"GPU places of {compute.gpus_per_run:g}"
    heading = Text(
        f"{title(evaluation.benchmark)}, N = {evaluation.runs}: {compute.actors} actors on {place}", style="bold"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("algorithm")
    for name in ("there", "to run", "s/run", "hours"):
        table.add_column(name, justify="right")
    banks = {bank.name: bank for bank in evaluation.all_banks}
    for algorithm in (evaluation.retrain, *evaluation.algorithms):
        bank = banks.get(algorithm.name)
        seconds = bank.median_seconds() if bank else None
        missing = len(evaluation.missing(algorithm))
        hours = "0" if not missing else f"{missing * seconds / compute.devices() / 3600:.2f}" if seconds else "?"
        table.add_row(
            escape(algorithm.name),
            str(len(bank.seeds(evaluation.runs)) if bank else 0),
            str(missing),
            f"{seconds:.2f}" if seconds else "?",
            hours,
        )
    left = evaluation.seconds_left(compute.devices())
    if left is None:
        return Group(heading, table, Text("? has no timed run yet: `plan --time` runs one of each (they are kept)."))
    return Group(
        heading, table, Text(f"In all about {duration(left)} ({left / 3600:.2f} h), from the median of timed runs.")
    )
