#!/usr/bin/env python3
"""Checks that what stands in this folder is true: run `python3 deploy/check.py [PROGRAM]` from anywhere.

- every configuration here is valid, millrace.toml also with all its optional lines taken in;
- millrace.toml names every option of every section, as the program itself lists them;
- every metric in the alert rules exists in the sources;
- the manifests are YAML, if PyYAML is there; the unit is one, if systemd-analyze is there.

PROGRAM is the program `millrace`; by default the debug build.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
EXAMPLE = HERE / "millrace.toml"

# Sections of millrace.toml, and where an unknown key makes the program list the known ones. `{}` is the place of that key.
PLAIN = ["hub", "mqtt", "mqtts", "https", "tls", "admin", "ingest", "quotas", "journal", "database", "registry", "control", "commands",
         "throttles", "files", "jobs", "configurations", "provisioning", "dead_letter", "fallback", "shutdown", "log"]
SECTIONS = [
    *((name, f"[{name}]\n{{}}") for name in PLAIN),
    *((f"endpoints.{name}", f"[endpoints.x]\ntype = \"{name}\"\n{{}}") for name in ["parquet", "kafka", "alerts"]),
    ("endpoints.parquet", '[endpoints.x]\ntype = "parquet"\n[[endpoints.x.columns]]\n{}'),
    ("endpoints.alerts.rules", '[endpoints.x]\ntype = "alerts"\n[[endpoints.x.rules]]\n{}'),
    ("endpoints.alerts.webhooks", '[endpoints.x]\ntype = "alerts"\n[endpoints.x.webhooks.y]\n{}'),
    ("endpoints.alerts.topics", '[endpoints.x]\ntype = "alerts"\n[endpoints.x.topics.y]\n{}'),
    ("provisioning.linked_hubs", "[[provisioning.linked_hubs]]\n{}"),
    ("routes", "[[routes]]\n{}"),
    ("enrichments", "[[enrichments]]\n{}"),
]
# Tables of the whole file that the program reads, apart from endpoints: each has to be in SECTIONS.
TABLES = re.compile(r'document\.(?:section|list)\("(\w+)"\)')


def configuration_problems(program, text):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([program, "config", "check", file.name], capture_output=True, text=True)
        return "" if done.returncode == 0 else done.stderr.replace(file.name + ": ", "")


def check_configurations(program):
    for file in [EXAMPLE, HERE / "container/millrace.toml", *sorted(HERE.glob("examples/*.toml"))]:
        yield from prefixed(file.name, configuration_problems(program, file.read_text()))
    manifest = (HERE / "kubernetes/configmap.yaml").read_text().split("millrace.toml: |\n")[1]
    yield from prefixed("configmap.yaml", configuration_problems(program, re.sub("(?m)^    ", "", manifest)))
    whole = re.sub(r"(?m)^#(?=[^ \n])", "", EXAMPLE.read_text()).replace("enabled = false", "enabled = true")
    whole = re.sub(r"(?m)^#(  \{|\]$)", r"\1", whole)
    yield from prefixed("millrace.toml with its optional lines", configuration_problems(program, whole))


def part(text, section):
    """The lines of a section and of the tables in it, also of those that are commented out, with their headers."""
    pieces = re.split(r"(?m)^(?=#?\[+\w)", text)
    return "".join(piece for piece in pieces if re.match(rf"#?\[+{re.escape(section)}[.\]]", piece))


def check_options(program):
    whole = EXAMPLE.read_text()
    known = {name for file in ROOT.glob("hub/src/config/*.rs") for name in TABLES.findall(file.read_text())}
    yield from (f"check.py does not look at the section {name}" for name in sorted(known - {name for name, _ in SECTIONS}))
    for section, around in SECTIONS:
        text = part(whole, section)
        answer = configuration_problems(program, around.format("no_such_option = 1"))
        listed = re.search(r"unknown field `no_such_option`, expected (?:one of )?(.*)", answer)
        if not listed:
            yield f"{section}: the program does not list its options: {answer}"
            continue
        for option in re.findall(r"`(\w+)`", listed[1]):
            # As a key, as a table, or in prose beside the alternative that stands there.
            if not re.search(rf"(?m)^#?{option} =|\.{option}[.\]]|`{option}\b|\b{option} = \"", text):
                yield f"millrace.toml does not name {section}.{option}"


def check_metrics():
    folders = [folder for folder in ROOT.iterdir() if folder.is_dir() and folder.name not in ("target", ".git")]
    sources = "".join(file.read_text() for folder in folders for file in folder.glob("**/src/**/*.rs"))
    known = set(re.findall(r'"(millrace_[a-z_]+)"', sources))
    rules = (HERE / "prometheus/alerts.yml").read_text()
    named = set(re.findall(r"\bmillrace_[a-z_]+\b", rules))
    yield from (f"alerts.yml: no source has {name}" for name in named if name.removesuffix("_bucket") not in known)
    alerts, runbooks = rules.count("- alert:"), rules.count("runbook:")
    if alerts != runbooks:
        yield f"alerts.yml: {alerts} alerts, {runbooks} runbooks"


def check_manifests():
    try:
        import yaml
    except ImportError:
        print("PyYAML is not installed: manifests are not parsed")
        return
    for file in [*sorted(HERE.glob("kubernetes/*.yaml")), HERE / "prometheus/alerts.yml"]:
        try:
            list(yaml.safe_load_all(file.read_text()))
        except yaml.YAMLError as error:
            yield f"{file.name}: {error}"


def check_unit():
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not installed: the unit is not checked")
        return
    text = (HERE / "systemd/millrace.service").read_text().replace("/usr/local/bin/millrace", "/bin/true")
    with tempfile.TemporaryDirectory() as directory:
        unit = Path(directory, "millrace.service")
        unit.write_text(text)
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
        yield from prefixed("millrace.service", done.stderr)


def prefixed(name, text):
    return (f"{name}: {line}" for line in text.splitlines())


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else str(TARGET / "debug/millrace")
    problems = [*check_configurations(program), *check_options(program), *check_metrics(), *check_manifests(), *check_unit()]
    for problem in problems:
        print(problem, file=sys.stderr)
    print("deploy: what stands there is true" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
