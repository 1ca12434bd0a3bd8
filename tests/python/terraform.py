"""Compares each resource of a Terraform file with the providers' own description of it.

usage: terraform.py FILE FOLDER, where FOLDER/azurerm and FOLDER/azuread hold the providers' interfaces.

A setting has to exist, what is required has to be there, and each reference has to lead to something.
"""

import pathlib
import re
import sys

import hcl2

file, schemas = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
META = {"for_each", "count", "depends_on", "lifecycle", "provider"}
problems = []


def settings(text):
    """Name to whether it is required, of one interface."""
    found = re.findall(r"#(\w+) \w+#\w+\}.*?readonly \w+(\??):", text, re.DOTALL)
    return {name: mark == "" for name, mark in found}


def described(kind, is_data):
    """The settings of a resource, and those of its blocks by name."""
    provider, _, name = kind.partition("_")
    prefix = f"data-{provider}-" if is_data else ""
    # The interfaces leave the provider's name out, but for data sources.
    folder = schemas / provider / "lib" / (prefix + name.replace("_", "-"))
    source = (folder / "index.d.ts").read_text()
    parts = re.split(r"(?m)^export interface (\w+)", source)[1:]
    interfaces = dict(zip(parts[::2], (part.split("\n}")[0] for part in parts[1::2])))
    config = next(text for name, text in interfaces.items() if name.endswith("Config"))
    prefix = next(name for name in interfaces if name.endswith("Config")).removesuffix("Config")
    blocks = {re.sub(r"(?<!^)(?=[A-Z])", "_", name.removeprefix(prefix)).lower(): settings(text)
              for name, text in interfaces.items() if not name.endswith("Config")}
    return settings(config), blocks


def compare(where, body, known, blocks):
    body = {key: value for key, value in body.items() if not key.startswith("__")}
    for name in body.keys() - META - known.keys():
        problems.append(f"{where}: the provider knows no {name}")
    for name, required in known.items():
        if required and name not in body:
            problems.append(f"{where}: {name} is required")
    for name in body.keys() & blocks.keys():
        for block in body[name] if isinstance(body[name], list) else [body[name]]:
            if isinstance(block, dict):
                compare(f"{where}.{name}", block, blocks[name], {})


def plain(name):
    return name.strip('"')


tree = hcl2.loads(file.read_text())
known, count = set(), 0
for section, is_data in [("resource", False), ("data", True)]:
    for entry in tree.get(section, []):
        for kind, instances in entry.items():
            if kind.startswith("__"):
                continue
            kind = plain(kind)
            for name, body in instances.items():
                if name.startswith("__"):
                    continue
                name = plain(name)
                known.add(f"data.{kind}.{name}" if is_data else f"{kind}.{name}")
                compare(f"{kind}.{name}", body, *described(kind, is_data))
                count += 1
for entry in tree.get("variable", []):
    known.update(f"var.{plain(name)}" for name in entry if not name.startswith("__"))

text = re.sub(r'"(?:[^"$]|\$(?!\{))*"', '""', re.sub(r"#.*", "", file.read_text()))
for reference in re.findall(r"\b((?:data\.)?azure(?:rm|ad)_\w+\.\w+|var\.\w+)", text):
    if reference not in known:
        problems.append(f"{reference} is nowhere defined")
for path in re.findall(r'file\("\$\{path\.module\}/([^"]+)"\)', file.read_text()):
    if not (file.parent / path).exists():
        problems.append(f"{path} does not exist")

print(*problems, sep="\n", end="\n" if problems else "")
print(f"{file}: {count} resources, {len(known)} names, {len(problems)} problems")
sys.exit(1 if problems or count == 0 else 0)
