"""What lies in deploy/ fits the program and keeps its promises."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from typer.main import get_command

import garmentcut
from garmentcut.cli import app
from garmentcut.observe.monitor import STAGES, Metrics

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "garmentcut-watch.service"


def check_command(words):
    """The words are a command of garmentcut's with options that it has."""
    command, *rest = words
    known = {name for parameter in get_command(app).commands[command].params for name in parameter.opts}
    known |= {name for parameter in get_command(app).commands[command].params for name in parameter.secondary_opts}
    assert [word for word in rest if word.startswith("--") and word not in known] == []


@pytest.fixture(scope="module")
def compose():
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_the_unit_starts_a_command_that_exists():
    (start,) = re.findall(r"^ExecStart=(.*(?:\\\n.*)*)", UNIT.read_text(), flags=re.MULTILINE)
    program, *words = start.replace("\\\n", " ").split()
    assert program.endswith("/garmentcut")
    check_command(words)


def test_the_unit_is_closed():
    lines = UNIT.read_text().splitlines()
    for line in ("ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectHome=yes"):
        assert line in lines
    assert "User=root" not in lines


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/garmentcut/bin/garmentcut", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert UNIT.name not in done.stderr, done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_each_alert_is_given_when_it_should_and_not_else():
    done = subprocess.run(
        ["promtool", "test", "rules", str(ROOT / "tests/alerts.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "schema", "word"),
    [
        ("deploy/compose.yaml", "vendor.compose-spec", "stop_grace_period"),
        (".github/workflows/ci.yml", "vendor.github-workflows", "runs-on"),
        (".github/workflows/ci.yml", "custom.github-workflows-require-timeout", "timeout-minutes"),
        ("CITATION.cff", "vendor.citation-file-format", "cff-version"),
    ],
)
def test_files_for_other_programs_are_of_their_schema(path, schema, word, tmp_path):
    check = pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed").main
    options = ["--default-filetype", "yaml", "--builtin-schema", schema]
    text = (ROOT / path).read_text()
    for name, content, code in (("good", text, 0), ("mistyped", text.replace(word, f"{word}s"), 1)):
        (tmp_path / f"{name}.yaml").write_text(content)
        done = CliRunner().invoke(check, [*options, str(tmp_path / f"{name}.yaml")])
        assert done.exit_code == code, done.output


def test_the_citation_is_of_this_version():
    assert f"\nversion: {garmentcut.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_image_is_built_from_all_that_the_wheel_holds():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    dockerfile, let_in = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    for folder in ("src", *wheel["force-include"]):
        assert f"COPY {folder} ./{folder}\n" in dockerfile
        assert f"!{folder}" in let_in


def test_compose_runs_commands_that_exist(compose):
    check_command(compose["services"]["watch"]["command"])
    (script,) = compose["services"]["review"]["command"]
    words = script.replace("\\\n", " ").split()
    check_command(words[words.index("garmentcut") + 1 :])


def test_compose_runs_nothing_as_root_and_holds_no_secrets(compose):
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("user", "").partition(":")[0] != "0"
        assert not [key for key in service.get("environment", {}) if "PASSWORD" in key and not key.endswith("_FILE")]
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${GARMENTCUT_REVIEW_ADDRESS:-127.0.0.1}:")), "open to the world"
    for name in ("watch", "review", "database"):
        assert "healthcheck" in compose["services"][name]
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())


def test_every_setting_of_compose_is_explained(compose):
    assert compose["name"] == "garmentcut"
    used = set(re.findall(r"\$\{(GARMENTCUT_\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert used == set(re.findall(r"(GARMENTCUT_\w+)=", (DEPLOY / "settings.env.example").read_text()))


def test_alerts_and_docs_name_metrics_that_exist():
    page = Metrics().page()[1].decode()
    alerts = set(re.findall(r"garmentcut_\w+", (DEPLOY / "prometheus/alerts.yaml").read_text()))
    told = (ROOT / "docs/operation.md").read_text()
    families = set(re.findall(r"^# TYPE (garmentcut_\w+)", page, flags=re.MULTILINE))
    for name in alerts | set(re.findall(r"`(garmentcut_\w+)", told)):
        assert name in families or name.removesuffix("_bucket") in families, name
    for family in families - {name for name in families if name.endswith("_created")}:
        assert f"`{family}" in told, f"docs/operation.md does not explain {family}"
    for word in STAGES:
        assert f"`{word}`" in told, f"docs/operation.md does not explain {word}"
