/**
 * The panel over a fake kernel, for tests: `?scenario=` says what there is at the start, `?theme=` how it looks.
 * Tests reach the kernel as `fakeKernel`.
 */

import { mountPanel } from "../main.tsx";
import { FakeKernel } from "./fake_kernel.ts";

declare global {
  var fakeKernel: FakeKernel;
}

const parameters = new URLSearchParams(location.search);
const kernel = new FakeKernel();
globalThis.fakeKernel = kernel;

const BANK = {
  name: "bank",
  bootstrap: "bank",
  vats: {
    bank: { source: "bank.py" },
    alice: { source: "user.py" },
    bob: { source: "user.py", kind: "worker" },
    escrow: { source: "escrow.py" },
  },
};

if (parameters.get("scenario") === "bank") {
  kernel.launch(BANK, { "bank.py": "", "user.py": "", "escrow.py": "" });
  for (const name of ["Issuer", "Mint", "Purse", "Purse", "Purse", "DepositFacet", "Payment"])
    kernel.addObject("v1", name);
  kernel.addObject("v2", "Wallet");
}

const theme = parameters.get("theme");
const element = document.getElementById("panel");
if (element === null) throw new Error("the page lacks its root element");
mountPanel(element, { connect: kernel.connect, ...(theme === "light" || theme === "dark" ? { theme } : {}) });
