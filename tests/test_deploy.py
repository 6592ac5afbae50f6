"""deploy/: what can be checked of it without a Docker daemon, a Kubernetes cluster, a Slurm cluster or a GPU."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from forget512.harness.cli.main import cli
from support.commands import ROOT

DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
KUBERNETES = "1.33"

STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}


def fields(required=(), **properties):
    """A JSON schema: these fields and no others."""
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


# What ray.io/v1 of KubeRay 1.5 declares (ray-operator/apis/ray/v1), as far as the manifest uses it; pod templates are
# Kubernetes' own, and have its schema.
RAYJOB = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields(("name",), name={"type": "string", "maxLength": 47, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}),
    spec=fields(
        ("entrypoint", "rayClusterSpec"),
        entrypoint={"type": "string"},
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        backoffLimit=COUNT,
        rayClusterSpec=fields(
            ("headGroupSpec",),
            rayVersion={"type": "string"},
            authOptions=fields(mode={"enum": ["disabled", "token"]}),
            enableInTreeAutoscaling={"type": "boolean"},
            autoscalerOptions=fields(idleTimeoutSeconds=COUNT),
            headGroupSpec=fields(("template",), rayStartParams=STRINGS, template={"type": "object"}),
            workerGroupSpecs={
                "type": "array",
                "items": fields(
                    ("groupName", "minReplicas", "maxReplicas", "template"),
                    groupName={"type": "string"},
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=STRINGS,
                    template={"type": "object"},
                ),
            },
        ),
    ),
)


@pytest.fixture(scope="module")
def rayjob():
    return yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())


@pytest.fixture(scope="module")
def groups(rayjob):
    """The head's and the workers' parts of the manifest."""
    cluster = rayjob["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def understood(words):
    """The parameters that our command line reads from [COMMAND, OPTION, …]. Raises what it would refuse them with."""
    name, *arguments = words
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command.make_context(name, arguments).params


def ray_command(name):
    """A command of the installed Ray's own command line."""
    from ray.scripts.scripts import cli

    return cli.commands[name]


@pytest.mark.parametrize(
    "linter",
    [
        ["hadolint", "Dockerfile"],
        ["shellcheck", "slurm.sh"],
        ["yamllint", "--strict", "-d", "{extends: default, rules: {line-length: {max: 120}}}", "rayjob.yaml"],
    ],
    ids=lambda linter: linter[0],
)
def test_the_linter_has_nothing_to_say(linter):
    program = Path(sys.executable).with_name(linter[0])
    done = subprocess.run([program, *linter[1:]], cwd=DEPLOY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


COMMANDS = [
    (path.name, line)
    for path in (ROOT / "README.md", *sorted([*DEPLOY.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
    for line in re.findall(r"(?:^ *(?:\$ )?|`)forget512 ([a-z][^`#|>\n]*)", path.read_text(), re.M)
    if not re.search(r"…|\[|\\$|\bCOMMAND\b", line)  # shortened ones
]


@pytest.mark.parametrize(("file", "line"), COMMANDS)
def test_each_command_in_a_document_is_one_that_our_command_line_takes(file, line):
    understood(shlex.split(line))


def test_the_ten_lines_for_two_machines_are_ten_and_ray_takes_its_part_of_them():
    lines = re.search(r"```bash\n(.*?)```", (DEPLOY / "two-machines.md").read_text(), re.S)[1].splitlines()
    assert len(lines) == 10
    found = [words for line in lines for words in re.findall(r"(?:^|[ /'])ray ([a-z][^'&>\n]*)", line)]
    assert len(found) == 6
    for words in found:
        name, *arguments = shlex.split(words)
        ray_command(name).make_context(name, arguments)
    assert subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, timeout=10).returncode == 0


# ---- Dockerfile


@pytest.fixture(scope="module")
def dockerfile():
    """Its instructions, one a line."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    return text.replace("\\\n", "")


@pytest.fixture(scope="module")
def copied(dockerfile):
    """What the image gets of the project."""
    return re.findall(r"^COPY (\S+) \S+$", dockerfile, re.M)


def test_the_image_gets_all_that_is_packaged_and_the_context_lets_it_through(copied):
    folders = {name.partition(".")[2].partition(".")[0] or name for name in PROJECT["tool"]["setuptools"]["packages"]}
    assert set(copied) == {"pyproject.toml", "run_eval.py", *folders}
    assert all((ROOT / name).exists() for name in copied)
    rules = [
        line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    assert rules[0] == "*" and {rule[1:] for rule in rules if rule[0] == "!"} == set(copied)


@pytest.mark.slow
def test_the_program_starts_from_what_the_image_gets(copied, dockerfile, tmp_path):
    for name in copied:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    command = re.search(r"^RUN python /opt/forget512/(.*) > /dev/null$", dockerfile, re.M)[1]
    done = subprocess.run(
        [sys.executable, *shlex.split(command)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0 and "finetune" in done.stdout, done.stderr


def test_dependencies_are_installed_before_the_code_comes(dockerfile):
    assert dockerfile.index("COPY pyproject.toml") < dockerfile.index("pip install") < dockerfile.index("COPY run_eval")


def test_the_images_requirements_are_the_projects(dockerfile):
    command = re.search(r'python -c "(.*?)" > /tmp/requirements.txt', dockerfile)[1]
    printed = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["s3"]]
    assert printed.stdout.splitlines() == wanted, printed.stderr


# ---- KubeRay


def test_the_manifest_has_the_fields_that_kuberay_has(rayjob):
    jsonschema.validate(rayjob, RAYJOB)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(backofLimit=3),
        lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0].update(minReplicas="1"),
        lambda spec: spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
    ],
)
def test_a_slip_in_the_manifest_would_be_seen(rayjob, change):
    slipped = yaml.safe_load(yaml.safe_dump(rayjob))
    change(slipped["spec"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(slipped, RAYJOB)


def test_the_pod_templates_are_kubernetes_own(groups):
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        pod["template"]["spec"]["containers"][0]["imagee"] = "a slip"
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        del pod["template"]["spec"]["containers"][0]["imagee"]


def test_the_entrypoint_is_a_command_of_ours_on_the_cluster_and_the_bucket(rayjob):
    bash, option, script = shlex.split(rayjob["spec"]["entrypoint"])
    command, _ = script.split(" || ")
    python, program, *words = shlex.split(command)
    assert (bash, option, python, program) == ("bash", "-c", "python", "/opt/forget512/run_eval.py")
    given = understood(words)
    assert given["address"] == "auto" and str(given["store"]).startswith("s3:")


@pytest.mark.parametrize(("status", "seen"), [(0, 0), (1, 0), (2, 2), (137, 137), (143, 143)])
def test_failed_runs_of_a_candidate_end_the_job_as_done_and_all_else_fails_it(rayjob, tmp_path, status, seen):
    """Through the two shells that it goes through: KubeRay's submitter, which splits it, and Ray's job agent."""
    (tmp_path / "python").write_text(f"#!/bin/sh\nexit {status}\n")
    (tmp_path / "python").chmod(0o755)
    entrypoint = shlex.join(shlex.split(rayjob["spec"]["entrypoint"]))  # as `ray job submit` joins it again
    done = subprocess.run(entrypoint, shell=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=10)
    assert done.returncode == seen


def test_the_head_works_not_and_alone_has_the_credentials(groups):
    head, *workers = groups
    for group in groups:
        start = [word for name, value in group["rayStartParams"].items() for word in (f"--{name}", value)]
        ray_command("start").make_context("start", start)
    assert head["rayStartParams"]["num-cpus"] == "0"
    containers = [group["template"]["spec"]["containers"][0] for group in groups]
    assert len({container["image"] for container in containers}) == 1
    assert "envFrom" in containers[0] and not any("env" in c or "envFrom" in c for c in containers[1:])
    limits = [container["resources"]["limits"] for container in containers]
    assert "nvidia.com/gpu" not in limits[0] and all("nvidia.com/gpu" in limit for limit in limits[1:])
    for worker in workers:
        assert worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]


# ---- Slurm


@pytest.fixture
def allocation(tmp_path):
    """start(ray='exit 0'): slurm.sh, running in a folder; Slurm's commands and Ray's are stand-ins."""
    programs = {
        "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
        "hostname": 'echo "10.0.0.7 fe80::7"',
        "scontrol": 'if [ "$1" = show ]; then printf "one\\ntwo\\n"; else echo "$@" > said; fi',
    }
    started = []

    def start(ray="exit 0"):
        programs["ray"] = f'[ "$1" = symmetric-run ] || exit 0; printf "%s\\n" "$@" > new; mv new got; {ray}'
        for name, body in programs.items():
            (tmp_path / "bin").mkdir(exist_ok=True)
            (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        (tmp_path / ".venv" / "bin").mkdir(parents=True)
        (tmp_path / ".venv" / "bin" / "activate").write_text("")
        slurm = {"JOB_ID": 42, "JOB_NODELIST": "one,two", "JOB_NUM_NODES": 2, "CPUS_PER_TASK": 32, "GPUS_ON_NODE": 4}
        started.append(
            subprocess.Popen(
                ["bash", DEPLOY / "slurm.sh"],
                cwd=tmp_path,
                env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", **{f"SLURM_{key}": str(slurm[key]) for key in slurm}},
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_slurm_script_gives_ray_and_us_what_both_take(allocation, tmp_path):
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args, symmetric_run

    process = allocation()
    assert process.wait(timeout=30) == 0, process.stderr.read()
    _, *words = (tmp_path / "got").read_text().splitlines()
    before, after = words[: words.index("--")], words[words.index("--") + 1 :]
    given = symmetric_run.make_context("symmetric-run", list(before)).params
    assert (given["address"], given["min_nodes"]) == ("10.0.0.7:6379", 2)
    left = curate_and_validate_ray_start_args(before)
    start = ray_command("start").make_context("start", ["--address", given["address"], *left]).params
    assert (start["num_cpus"], start["num_gpus"]) == (32, 4)
    assert after[:3] == ["python", "-u", "-m"]
    assert after[3] == "forget512" and understood(after[4:])["address"] == "auto"


def test_the_slurm_job_ends_as_the_evaluation_does(allocation):
    assert allocation("exit 3").wait(timeout=30) == 3


def under_way(allocation, tmp_path):
    """A script whose evaluation has begun."""
    process = allocation("exec sleep 60")
    ends = time.monotonic() + 30
    while not (tmp_path / "got").exists():
        assert time.monotonic() < ends and process.poll() is None
        time.sleep(0.01)
    return process


def test_before_its_time_is_up_the_slurm_job_goes_back_to_the_queue(allocation, tmp_path):
    process = under_way(allocation, tmp_path)
    [name] = re.findall(r"^#SBATCH --signal=B:(\w+)@60$", (DEPLOY / "slurm.sh").read_text(), re.M)
    process.send_signal(signal.Signals[f"SIG{name}"])
    assert process.wait(timeout=30) == 128 + signal.SIGUSR1
    assert (tmp_path / "said").read_text() == "requeue 42\n"


def test_a_slurm_job_that_is_cancelled_does_not_go_back_to_the_queue(allocation, tmp_path):
    process = under_way(allocation, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == -signal.SIGTERM and not (tmp_path / "said").exists()


# ---- the cost sheet


@pytest.fixture(scope="module")
def costs():
    import importlib.util

    spec = importlib.util.spec_from_file_location("costs", DEPLOY / "costs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["costs"] = module
    spec.loader.exec_module(module)
    return module


def test_the_cost_sheet_is_what_its_commands_print(costs):
    text = (DEPLOY / "costs.md").read_text()
    commands = re.findall(r"^    .*deploy/costs\.py (.*)$", text, re.M)
    assert len(commands) == 2
    for command in commands:
        done = CliRunner().invoke(costs.main, shlex.split(command))
        assert done.exit_code == 0 and done.output in text


def test_the_measured_rows_are_what_was_measured(costs):
    measured = (ROOT / "docs" / "performance.md").read_text()
    rates = [found.rate for found in costs.throughputs() if found.known.startswith("measured")]
    assert [f"| {rate:,.0f} (`live_taps`)" in measured for rate in rates] == [True, True]


def test_hours_follow_from_the_images(costs):
    hours = costs.cost(45_000.0)  # an epoch a second
    examined = 60_000 / 3 / 45_000
    assert hours.one * 3600 == pytest.approx(30 + examined)
    assert hours.retrained * 3600 == pytest.approx(512 * (30 + examined) + 30 * 50_000 / 45_000)
    assert hours.unlearned * 3600 == pytest.approx(512 * (6 + examined))
    assert costs.cost(90_000.0).total == pytest.approx(hours.total / 2)
