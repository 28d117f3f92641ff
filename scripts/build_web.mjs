/**
 * Builds the extension into dist/extension, and its realm for Node into dist/node:
 * `node scripts/build_web.mjs`, or `npm run build`.
 *
 * Scripts are bundled by Vite. Pyodide's files are copied as they are. The Python sources go into one zip. Memory
 * images of a started kernel and of a fresh realm are made in Node, and kept in .cache/images by what they are made of.
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { build } from "vite";

import { makeZip } from "../web/tools/zip.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const EXTENSION = join(ROOT, "dist/extension");
/** Where it is built, until it is whole. */
const OUT = join(ROOT, "dist/extension.new");
/** What runs in Node, with the extension's files. */
const NODE = join(ROOT, "dist/node");
const WORK = join(ROOT, ".cache/build");
const IMAGES = join(ROOT, ".cache/images");
const PYODIDE = join(ROOT, "node_modules/pyodide/");
const PYODIDE_FILES = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip"];

/** Python packages that do not go into a browser. */
const NATIVE_ONLY = ["kernel_py/hosts/native", "kernel_py/testing"];

/** Chromium's JavaScript; the manifest's minimum_chrome_version says the same. */
const TARGET = "chrome137";
const IN_NODE = { target: "node20", external: [/^node:/] };

async function main() {
  await rm(OUT, { recursive: true, force: true });
  await mkdir(join(OUT, "pyodide"), { recursive: true });
  await mkdir(WORK, { recursive: true });
  await Promise.all(PYODIDE_FILES.map((name) => copyFile(join(PYODIDE, name), join(OUT, "pyodide", name))));
  await writeFile(join(OUT, "kernel_py.zip"), await zipSources());
  // Vite first: the program that makes images is one of its products.
  await buildScript("web/tools/make_image.ts", WORK, "make_image.mjs", IN_NODE);
  await buildScript("web/tools/node_realm.ts", WORK, "node_realm.mjs", IN_NODE);
  await buildScript("web/src/node/realm_process.ts", NODE, "realm.mjs", IN_NODE);
  await Promise.all([makeImage("kernel"), makeImage("realm"), buildPages(), buildScripts()]);
  await rm(EXTENSION, { recursive: true, force: true });
  await rename(OUT, EXTENSION);
}

async function buildScripts() {
  await buildScript("extension/src/service_worker.ts", OUT, "service_worker.js");
  await buildScript("web/src/realm/realm.ts", OUT, "realm.js");
  await buildScript("web/src/realm/realm_worker.ts", OUT, "realm_worker.js");
  await buildScript("web/src/realm/wasm_realm.ts", OUT, "wasm_realm.js");
  await buildScript("web/src/realm/preparer_worker.ts", OUT, "preparer_worker.js");
  await buildSandbox();
}

/** HTML pages with their scripts and styles. */
async function buildPages() {
  const root = join(ROOT, "extension");
  const pages = (await readdir(root)).filter((name) => name.endsWith(".html"));
  await build({
    ...common(),
    root,
    base: "./",
    esbuild: undefined,
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
      target: TARGET,
      outDir: OUT,
      emptyOutDir: false,
      modulePreload: false,
      assetsInlineLimit: 0,
      rolldownOptions: { input: pages.map((name) => join(root, name)) },
    },
  });
}

/** One module script that imports nothing but Pyodide's files. */
async function buildScript(entry, outDir, fileName, { target = TARGET, external = [], format = "es" } = {}) {
  await build({
    ...common(),
    root: ROOT,
    build: {
      target,
      outDir,
      emptyOutDir: false,
      copyPublicDir: false,
      minify: false,
      lib: { entry: join(ROOT, entry), formats: [format], name: "page", fileName: () => fileName },
      rolldownOptions: { external },
    },
  });
}

/** The sandbox page with its script inside, and the manifest, whose policy names that script by its hash. */
async function buildSandbox() {
  await buildScript("web/src/sandbox/page.ts", WORK, "sandbox_page.js", { format: "iife" });
  const script = await readFile(join(WORK, "sandbox_page.js"), "utf8");
  const html = await readFile(join(ROOT, "web/src/sandbox/sandbox.html"), "utf8");
  await writeFile(
    join(OUT, "sandbox.html"),
    html.replace("<!--SCRIPT-->", () => `<script>${script}</script>`),
  );
  const hash = `sha256-${createHash("sha256").update(script).digest("base64")}`;
  const manifest = await readFile(join(ROOT, "extension/manifest.json"), "utf8");
  const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const fields = { ...JSON.parse(manifest.replace("%SANDBOX_SCRIPT_HASH%", hash)), version };
  await writeFile(join(OUT, "manifest.json"), JSON.stringify(fields, null, 2) + "\n");
}

/** Settings of all builds. Pyodide's scripts stay files of their own: they are large, and used as they are. */
function common() {
  return {
    configFile: false,
    logLevel: "warn",
    plugins: [
      {
        name: "pyodide-files",
        enforce: "pre",
        resolveId: (id) => (id.startsWith("pyodide/pyodide.") ? { id: `./${id}`, external: true } : undefined),
      },
    ],
  };
}

async function zipSources() {
  const files = [];
  for (const entry of await readdir(join(ROOT, "kernel_py"), { recursive: true, withFileTypes: true })) {
    const path = relative(ROOT, join(entry.parentPath, entry.name)).replaceAll("\\", "/");
    if (!entry.isFile() || !/\.(py|json)$/.test(path) || NATIVE_ONLY.some((folder) => path.startsWith(folder)))
      continue;
    files.push({ name: path, data: await readFile(join(ROOT, path)) });
  }
  return makeZip(files.sort((a, b) => (a.name < b.name ? -1 : 1)));
}

/** Takes some seconds, so it is done again only when something that the image is made of has changed. */
async function makeImage(what) {
  const sources = join(OUT, "kernel_py.zip");
  const maker = join(WORK, "make_image.mjs");
  const digest = createHash("sha256").update(process.version);
  for (const file of [sources, maker, join(PYODIDE, "package.json")]) digest.update(await readFile(file));
  const image = join(IMAGES, `${what}-${digest.digest("hex").slice(0, 16)}.image`);
  const target = join(OUT, `${what}.image`);
  try {
    await copyFile(image, target);
    return;
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  await mkdir(IMAGES, { recursive: true });
  await Promise.all(
    (await readdir(IMAGES)).filter((name) => name.startsWith(what)).map((name) => rm(join(IMAGES, name))),
  );
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [maker, what, PYODIDE, sources, `${image}.new`]);
    process.stdout.write(stdout);
  } catch (error) {
    // Without the image everything works, only slower to start; but a build that cannot make it is broken.
    throw new Error(`the image of a ${what} could not be made:\n${error.stdout}${error.stderr}`);
  }
  await rename(`${image}.new`, image);
  await copyFile(image, target);
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
