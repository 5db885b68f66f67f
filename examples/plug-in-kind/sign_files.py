#!/usr/bin/env python3
"""The kind SIGN_FILES: the SHA-256 of each file of a folder, in a list that is signed (HMAC-SHA-256).

Reads one JSON object from its standard input, writes one to its standard output, and its log to its standard error.
"""
import hashlib
import hmac
import json
import os
import sys


def answer(status, error=None, **more):
    json.dump({"status": status, "error": error, **more}, sys.stdout)
    sys.exit(0)


request = json.load(sys.stdin)
if request["version"] != 1:
    sys.exit(f"a conversation of version {request['version']} is not known here")
data = request["data"]
# The data was held against the schema of the manifest already; what that cannot tell is for the program.
workspace = os.path.realpath(request["workspace"])
folder = os.path.realpath(os.path.join(workspace, data["folder"]))
if not folder.startswith(workspace + os.sep) or not os.path.isdir(folder):
    answer("FAILURE", f"there is no folder {data['folder']} in the workspace; bring it there first")

lines = []
for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    if os.path.isfile(path) and name not in (data["list"], data["list"] + ".sig"):
        print(f"reading {name}", file=sys.stderr, flush=True)
        with open(path, "rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
if not lines:
    answer("SKIPPED", f"{data['folder']} has no files")

text = "".join(lines).encode()
signature = hmac.new(data["key"].encode(), text, "sha256").hexdigest()
for name, content in ((data["list"], text), (data["list"] + ".sig", f"{signature}\n".encode())):
    # Written beside and moved, so that it is there whole or not at all.
    beside = os.path.join(folder, f".{name}.new")
    with open(beside, "wb") as file:
        file.write(content)
    os.replace(beside, os.path.join(folder, name))
answer("SUCCESS", result={"files": len(lines), "signature": signature}, output_vars={"signature": signature})
