"""The schema against configurations: good ones validate, and those that are wrong in form do not.

usage: schema.py SCHEMA GOOD... -- BAD...
"""

import sys
import tomllib

import json
import jsonschema


def main(schema, good, bad):
    with open(schema, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    def errors(path):
        with open(path, "rb") as file:
            return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(tomllib.load(file))]

    wrong = [f"{path}: {error}" for path in good for error in errors(path)]
    wrong += [f"{path} is wrong, but validates" for path in bad if not errors(path)]
    print("\n".join(wrong) or f"{len(good)} good and {len(bad)} bad configurations")
    return bool(wrong)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    end = arguments.index("--")
    sys.exit(main(arguments[0], arguments[1:end], arguments[end + 1 :]))
