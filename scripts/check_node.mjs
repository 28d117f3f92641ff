// Says so if this Node is older than package.json asks for; npm itself only warns.

import { readFileSync } from "node:fs";

const { engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const wanted = engines.node.replace(">=", "").split(".").map(Number);
const found = process.versions.node.split(".").map(Number);
const difference = wanted.map((part, index) => found[index] - part).find((part) => part !== 0) ?? 0;
if (difference < 0) {
  console.error(`kernel_py needs Node ${engines.node}; ${process.execPath} is ${process.versions.node}.`);
  process.exitCode = 1;
}
