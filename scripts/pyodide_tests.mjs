// Runs the unit tests inside Pyodide, in Node: `node scripts/pyodide_tests.mjs [pytest arguments]`.
//
// Pyodide comes from node_modules. The repository is mounted where it lies, so that paths in the
// output are real ones; pytest and hypothesis, pure Python, come from the virtual environment.
// Exits with pytest's own exit code, or 70 if Pyodide itself fails.

import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPyodide } from "pyodide";

const PYODIDE_FAILED = 70;
/** For the message if Pyodide itself ends. */
let currentTest = "set-up";
const root = dirname(dirname(fileURLToPath(import.meta.url)));

function findSitePackages() {
  const lib = join(root, ".venv", "lib");
  const found = readdirSync(lib).map((name) => join(lib, name, "site-packages"));
  const path = found.find((candidate) => existsSync(join(candidate, "pytest")));
  if (path === undefined) throw new Error(`no pytest under ${lib}: make setup`);
  return path;
}

async function runPytest(args) {
  const pyodide = await loadPyodide({
    env: {
      HOME: "/home/pyodide",
      ...(process.env.HYPOTHESIS_PROFILE && { HYPOTHESIS_PROFILE: process.env.HYPOTHESIS_PROFILE }),
      COLUMNS: String(process.stdout.columns ?? 120),
      PYTHONPYCACHEPREFIX: join(root, ".cache", "pyodide", "pycache"),
      // The virtual environment's other plugins are native.
      PYTEST_DISABLE_PLUGIN_AUTOLOAD: "1",
    },
  });
  pyodide.FS.mkdirTree(root);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root }, root);
  pyodide.FS.chdir(root);
  pyodide.globals.set("settings", pyodide.toPy({ args, sitePackages: findSitePackages() }));
  pyodide.globals.set("note_test", (nodeid) => {
    currentTest = nodeid;
  });
  return pyodide.runPython(`
    import asyncio, sys

    sys.path.append(settings["sitePackages"])
    import pytest

    # Pyodide's own loop counts as running, always; tests expect none, as on CPython.
    asyncio._set_running_loop(None)

    class NoteTests:
        def pytest_runtest_logstart(self, nodeid):
            note_test(nodeid)

    pytest.main(["-p", "_hypothesis_pytestplugin", *settings["args"]], plugins=[NoteTests()])
  `);
}

const color = process.stdout.isTTY ? ["--color=yes"] : [];
try {
  process.exitCode = await runPytest([...color, ...process.argv.slice(2)]);
} catch (error) {
  console.error(error);
  console.error(`Pyodide ended in ${currentTest}`);
  process.exitCode = PYODIDE_FAILED;
}
