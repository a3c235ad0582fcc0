"""A folder for PATH whose `az`, `azd`, `gh` and `curl` answer from a table and keep what they were asked."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.infra.bicep import ROOT

_PROGRAM: Final = """#!{python} -IS
import json, pathlib, sys
here = pathlib.Path(__file__).parent
name = pathlib.Path(__file__).name
arguments = sys.argv[1:]
call = dict(name=name, line=" ".join([name, *arguments]))
for flag, value in zip(arguments, arguments[1:]):
    if flag == "--file":
        call["file"] = pathlib.Path(value).read_text()
with (here / "calls.jsonl").open("a") as log:
    log.write(json.dumps(call) + "\\n")
state = here / "answers.json"
answers = json.loads(state.read_text())
for answer in answers:
    if answer["asked"] in call["line"] and answer.get("times", 1) > 0:
        if "times" in answer:
            answer["times"] -= 1
        state.write_text(json.dumps(answers))
        stream = sys.stderr if answer.get("code", 0) and name != "curl" else sys.stdout
        stream.write(answer.get("says", ""))
        sys.exit(answer.get("code", 0))
"""


@dataclass
class Cloud:
    """The folder, and what its programs answer: the first answer whose `asked` is in the command line.

    An answer is `{"asked": "keyvault secret list", "says": "webhook\\n", "code": 0, "times": 2}`; without `times` it
    holds for ever. What nothing answers succeeds and says nothing.
    """

    folder: Path
    answers: list[dict[str, Any]] = field(default_factory=list)
    programs: tuple[str, ...] = ("az", "azd", "gh", "curl", "python")

    def answer(self, asked: str, says: str = "", code: int = 0, **more: int) -> None:
        """Add an answer before the others."""
        self.answers.insert(0, {"asked": asked, "says": says, "code": code, **more})

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of infra/ with nothing of this machine's environment but PATH."""
        for name in self.programs:
            path = self.folder / name
            path.write_text(_PROGRAM.format(python=sys.executable), encoding="utf-8")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (self.folder / "answers.json").write_text(json.dumps(self.answers), encoding="utf-8")
        env: Mapping[str, str] = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "ATTEMPTS": "3",
            "PAUSE": "0",
            "PYTHON": str(self.folder / "python"),
            "SETTINGS_FILE": str(self.folder / "settings.json"),
            **environment,
        }
        return subprocess.run(  # noqa: S603  # our own script
            [ROOT / "infra" / script, *arguments],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def calls(self, part: str = "") -> list[dict[str, str]]:
        """What was asked, in order: the command line, and the content of the file that `--file` named."""
        log = self.folder / "calls.jsonl"
        found = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
        return [call for call in found if part in call["line"]]
