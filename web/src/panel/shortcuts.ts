/**
 * Single-key shortcuts. They can be turned off (speech input types letters), and never act while something is
 * being typed or a dialog is open.
 */

import { signal, type ReadonlySignal } from "@preact/signals";
import type { PanelModel } from "./model.ts";

export interface Shortcut {
  readonly key: string;
  readonly text: string;
  readonly run: (model: PanelModel) => void;
}

export const SHORTCUTS: readonly Shortcut[] = [
  {
    key: "n",
    text: "launch a new cluster",
    run: (model) => {
      model.dialog.value = { kind: "launch", draft: null };
    },
  },
  {
    key: "c",
    text: "go to the clusters",
    run: (model) => {
      model.focus("clusters-grid");
    },
  },
  {
    key: "f",
    text: "filter vats",
    run: (model) => {
      model.focus("vat-filter");
    },
  },
  {
    key: "o",
    text: "go to the exported objects",
    run: (model) => {
      model.focus("object-table");
    },
  },
  {
    key: "s",
    text: "send a message",
    run: (model) => {
      model.focus("send-target");
    },
  },
  {
    key: "h",
    text: "go to what was sent",
    run: (model) => {
      model.focus("history");
    },
  },
  {
    key: "m",
    text: "go to the messages",
    run: (model) => {
      model.focus("log-grid");
    },
  },
  {
    key: "/",
    text: "filter messages",
    run: (model) => {
      model.focus("log-filter");
    },
  },
  {
    key: "p",
    text: "pause or resume the messages",
    run: ({ log }) => {
      if (log.view.peek().isPaused) log.resume();
      else log.pause();
    },
  },
  {
    key: "?",
    text: "show this list",
    run: (model) => {
      model.dialog.value = { kind: "shortcuts" };
    },
  },
];

const OFF_KEY = "kernel_py.panel.shortcuts_off";

export class Shortcuts {
  readonly #model: PanelModel;
  readonly #isOn = signal(localStorage.getItem(OFF_KEY) === null);

  constructor(model: PanelModel) {
    this.#model = model;
  }

  get isOn(): ReadonlySignal<boolean> {
    return this.#isOn;
  }

  turn(isOn: boolean): void {
    this.#isOn.value = isOn;
    if (isOn) localStorage.removeItem(OFF_KEY);
    else localStorage.setItem(OFF_KEY, "yes");
  }

  readonly handle = (event: KeyboardEvent): void => {
    if (!this.#isOn.value || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (this.#model.dialog.value.kind !== "none" || isTyping(event.target)) return;
    const shortcut = SHORTCUTS.find(({ key }) => key === event.key);
    if (shortcut === undefined) return;
    event.preventDefault();
    shortcut.run(this.#model);
  };
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}
