"""Started by tests/command.py: imports curate once, then forks one process per command line, each a real driver.

A fresh interpreter needs three seconds to import its libraries and load its kernels; a fork has them. All the rest is what
`curate` does: its own process, arguments, environment, working folder, and SIGKILL ends it like any other.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from pathlib import Path


def command(request: dict) -> int:
    """In the fork: become that command."""
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    # As an interpreter does when it starts.
    sys.path[:0] = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
    for number, path in ((1, request["out"]), (2, request["err"])):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOCTTY, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    os.dup2(os.open(request["in"], os.O_RDONLY | os.O_NOCTTY), 0)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    sys.argv = ["curate", *request["argv"]]
    from curate.cli import main

    main()
    return 0


def warm() -> None:
    """Run everything once, here: kernels are loaded and late imports done before the first fork."""
    from corpus import write_corpus
    from recipes import everything, write

    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import load_recipe
    from curate.run.cluster import Runner
    from curate.run.engine import Engine
    from curate.run.progress import Silent
    from curate.store.files import Store

    with tempfile.TemporaryDirectory() as name, Runner(0) as runner:
        folder = Path(name)
        write_corpus(folder / "in", 60, code_size=5000)
        plan = make_plan(load_recipe(write(folder / "r.yaml", everything())))
        Engine(plan, Store(folder / "run"), runner, Silent()).run()


def serve() -> None:
    """One request a line: answer with the pid, then, when it has ended, with how."""
    # What commands import when they need it, they would import in each fork anew.
    import distributed.dashboard  # noqa: F401
    import pyarrow.dataset  # noqa: F401
    import rich.padding
    import rich.progress  # noqa: F401
    import s3fs  # noqa: F401
    from editing import make_known

    from curate.cli import check, copy, explain, inspect, plan, run, score, stages, train  # noqa: F401
    from curate.recipe import plan as _plan  # noqa: F401
    from curate.report import card  # noqa: F401
    from curate.run import engine, manifest, session  # noqa: F401
    from curate.stages import load_all

    load_all()
    make_known()
    warm()
    # A fork that collects garbage looks at every object here, and by that copies the memory of all of them.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = command(request)
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
            except BaseException:
                import traceback

                traceback.print_exc()
                code = 1
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                if "exit" in request:
                    # As an interpreter ends: Dask and the sandbox have atexit handlers.
                    import atexit

                    atexit._run_exitfuncs()
                os._exit(code)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        from curate.cli import main

        main()
