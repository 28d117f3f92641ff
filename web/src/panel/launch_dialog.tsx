/** Launching a cluster: an example, or one that was pasted, dropped or written here. */

import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { TargetedKeyboardEvent, VNode } from "preact";
import { usePanel } from "./context.ts";
import { Dialog } from "./dialogs.tsx";
import { makeDraft, takeChosen, takeDropped } from "./dropped_files.ts";
import { EXAMPLES, sourcesOf } from "./examples.ts";
import { locate } from "./json_locate.ts";
import { CONFIG_PATH, type Draft, type LaunchProblem } from "./launches.ts";
import { Spinner } from "./parts.tsx";
import { Problem } from "./problem.tsx";

const NEW_DRAFT: Draft = {
  config: `{
  "bootstrap": "main",
  "vats": {
    "main": { "source": "main.py" }
  }
}
`,
  files: new Map([
    [
      "main.py",
      `"""What this cluster does."""

from kernel_py.vat import Exo


class Main(Exo):
    async def bootstrap(self, vats, services):
        return "ready"


def build_root_object(powers, parameters, baggage):
    return Main()
`,
    ],
  ]),
};

interface Draftsman {
  readonly draft: Signal<Draft>;
  /** The file in the editor. */
  readonly path: Signal<string>;
  /** A place in the editor to go to. */
  readonly place: Signal<{ readonly start: number; readonly end: number } | null>;
}

export function LaunchDialog({
  draft: given,
  onClose,
}: {
  readonly draft: Draft | null;
  readonly onClose: () => void;
}): VNode {
  const model = usePanel();
  const draft = useSignal<Draft>(given ?? model.launches.problem.peek()?.draft ?? EXAMPLES[0]?.draft ?? NEW_DRAFT);
  const path = useSignal(CONFIG_PATH);
  const place = useSignal<{ start: number; end: number } | null>(null);
  const isLaunching = useSignal(false);
  const trouble = useSignal("");
  const men: Draftsman = { draft, path, place };

  const take = (next: Draft): void => {
    draft.value = next;
    path.value = CONFIG_PATH;
    trouble.value = "";
    model.launches.dismissProblem();
  };
  const takeFiles = async (files: Promise<Parameters<typeof makeDraft>[0]>): Promise<void> => {
    try {
      take(await makeDraft(await files, draft.value));
    } catch (error) {
      trouble.value = error instanceof Error ? error.message : String(error);
    }
  };
  const launch = async (): Promise<void> => {
    isLaunching.value = true;
    const isUp = await model.launches.launch(draft.value);
    isLaunching.value = false;
    if (isUp) onClose();
  };

  return (
    <Dialog title="Launch a cluster" class="launch" onClose={onClose}>
      <form
        class="launch-body"
        onSubmit={(event) => {
          event.preventDefault();
          void launch();
        }}
        onDragOver={(event) => {
          event.preventDefault();
        }}
        onDrop={(event) => {
          event.preventDefault();
          event.stopPropagation();
          if (event.dataTransfer !== null) void takeFiles(takeDropped(event.dataTransfer));
        }}
      >
        <Sources draft={draft.value} onTake={take} onFiles={(files) => void takeFiles(files)} />
        <div class="editor">
          <FileTabs men={men} />
          <Editor men={men} />
          <MissingFiles men={men} />
          {trouble.value !== "" && <Problem text={trouble.value} />}
          <LaunchTrouble men={men} />
        </div>
        <div class="dialog-foot">
          <span class="hint">Drop a folder, or cluster.json and .py files, here.</span>
          <span class="spring" />
          <button type="button" onClick={onClose}>
            {isLaunching.value ? "Close, and go on launching" : "Cancel"}
          </button>
          <button type="submit" class="primary" aria-disabled={isLaunching.value}>
            {isLaunching.value && <Spinner />}
            {isLaunching.value ? launchingText(model.connection.value.state === "live") : "Launch"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function launchingText(isLive: boolean): string {
  return isLive ? "Launching" : "Waiting for the kernel";
}

interface SourcesProps {
  readonly draft: Draft;
  readonly onTake: (draft: Draft) => void;
  readonly onFiles: (files: Promise<Parameters<typeof makeDraft>[0]>) => void;
}

/** What to start from. */
function Sources({ draft, onTake, onFiles }: SourcesProps): VNode {
  const input = useRef<HTMLInputElement>(null);
  const choices = [
    ...EXAMPLES,
    { name: "Empty cluster", summary: "start from one vat that does nothing", draft: NEW_DRAFT },
  ];
  return (
    <div class="sources" role="group" aria-label="Start from">
      {choices.map((choice, index) => (
        <button
          key={choice.name}
          type="button"
          class="source"
          data-first={index === 0 ? "" : undefined}
          aria-pressed={choice.draft === draft}
          onClick={() => {
            onTake(choice.draft);
          }}
        >
          <strong>{choice.name}</strong>
          {choice.summary !== "" && <span class="muted">{choice.summary}</span>}
        </button>
      ))}
      <button
        type="button"
        class="source"
        onClick={() => {
          input.current?.click();
        }}
      >
        <strong>Open files</strong>
        <span class="muted">a cluster.json with its Python files</span>
      </button>
      <input
        ref={input}
        type="file"
        class="visually-hidden"
        tabIndex={-1}
        aria-label="Cluster files"
        multiple
        accept=".json,.py,.whl"
        onChange={(event) => {
          const files = event.currentTarget.files;
          if (files !== null && files.length > 0) onFiles(Promise.resolve(takeChosen(files)));
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}

function FileTabs({ men: { draft, path } }: { readonly men: Draftsman }): VNode {
  const isAdding = useSignal(false);
  const paths = [CONFIG_PATH, ...draft.value.files.keys()];
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = paths[(paths.indexOf(path.value) + by + paths.length) % paths.length];
    if (by === 0 || next === undefined) return;
    event.preventDefault();
    path.value = next;
    requestAnimationFrame(() => document.getElementById(tabId(next))?.focus());
  };
  const remove = (gone: string): void => {
    const files = new Map(draft.value.files);
    files.delete(gone);
    draft.value = { ...draft.value, files };
    path.value = CONFIG_PATH;
  };
  return (
    <div class="file-tabs">
      <div role="tablist" aria-label="Files" onKeyDown={onKeyDown}>
        {paths.map((each) => (
          <button
            key={each}
            id={tabId(each)}
            type="button"
            role="tab"
            aria-selected={each === path.value}
            aria-controls="editor-panel"
            tabIndex={each === path.value ? 0 : -1}
            onClick={() => {
              path.value = each;
            }}
          >
            {each}
          </button>
        ))}
      </div>
      {isAdding.value ? (
        <NewFile
          onDone={(added) => {
            isAdding.value = false;
            if (added === "") return;
            if (!draft.value.files.has(added)) addFile(draft, added);
            path.value = added;
          }}
        />
      ) : (
        <button
          type="button"
          class="small"
          onClick={() => {
            isAdding.value = true;
          }}
        >
          Add file
        </button>
      )}
      {path.value !== CONFIG_PATH && (
        <button
          type="button"
          class="small"
          aria-label={`Remove ${path.value}`}
          onClick={() => {
            remove(path.value);
          }}
        >
          Remove
        </button>
      )}
    </div>
  );
}

function NewFile({ onDone }: { readonly onDone: (path: string) => void }): VNode {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    input.current?.focus();
  }, []);
  return (
    <input
      ref={input}
      class="mono compact"
      aria-label="Name of the new file"
      placeholder="name.py"
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        event.stopPropagation();
        const name = event.currentTarget.value.trim();
        onDone(event.key === "Escape" || name === "" ? "" : name.endsWith(".py") ? name : `${name}.py`);
      }}
      onBlur={() => {
        onDone("");
      }}
    />
  );
}

function Editor({ men: { draft, path, place } }: { readonly men: Draftsman }): VNode {
  const area = useRef<HTMLTextAreaElement>(null);
  const isConfig = path.value === CONFIG_PATH;
  const text = isConfig ? draft.value.config : (draft.value.files.get(path.value) ?? "");
  const wanted = place.value;
  useEffect(() => {
    const element = area.current;
    if (element === null || wanted === null) return;
    element.focus();
    element.setSelectionRange(wanted.start, wanted.end);
    // A textarea does not scroll to a selection that is set; the line is about there.
    const line = element.value.slice(0, wanted.start).split("\n").length;
    const lineHeight = element.scrollHeight / Math.max(1, element.value.split("\n").length);
    element.scrollTop = Math.max(0, line * lineHeight - element.clientHeight / 2);
    place.value = null;
  }, [wanted, place]);
  return (
    <div id="editor-panel" role="tabpanel" aria-labelledby={tabId(path.value)}>
      <textarea
        ref={area}
        class="mono"
        aria-label={`Text of ${path.value}`}
        spellcheck={false}
        autocomplete="off"
        wrap="off"
        value={text}
        onInput={(event) => {
          const next = event.currentTarget.value;
          draft.value = isConfig
            ? { ...draft.value, config: next }
            : { ...draft.value, files: new Map(draft.value.files).set(path.value, next) };
        }}
      />
    </div>
  );
}

/** Files that the config names and that are not there: the kernel would refuse the launch. */
function MissingFiles({ men: { draft, path } }: { readonly men: Draftsman }): VNode | null {
  let config: unknown;
  try {
    config = JSON.parse(draft.value.config);
  } catch {
    return null;
  }
  const missing = new Set(
    sourcesOf(config)
      .map(({ source }) => source)
      .filter((source) => !draft.value.files.has(source)),
  );
  if (missing.size === 0) return null;
  return (
    <p class="hint missing">
      Named in cluster.json, but not here:
      {[...missing].slice(0, 10).map((source) => (
        <button
          key={source}
          type="button"
          class="small"
          onClick={() => {
            addFile(draft, source);
            path.value = source;
          }}
        >
          Add {source}
        </button>
      ))}
    </p>
  );
}

/** Why the last launch failed, with a way to the place that is at fault. */
function LaunchTrouble({ men }: { readonly men: Draftsman }): VNode | null {
  const problem = usePanel().launches.problem.value;
  if (problem === null) return null;
  const { error } = problem;
  const place = findPlace(problem);
  return (
    <div role="alert">
      <Problem title="Not launched" text={error.message} path={error.path} kind={error.kind}>
        {place !== null && (
          <button
            type="button"
            class="small"
            onClick={() => {
              men.path.value = place.path;
              men.place.value = place.span;
            }}
          >
            Show in {place.path}
            {place.line > 0 && `, line ${String(place.line)}`}
          </button>
        )}
      </Problem>
    </div>
  );
}

interface Place {
  readonly path: string;
  readonly span: { readonly start: number; readonly end: number };
  /** 0 if it is not a line that is meant. */
  readonly line: number;
}

/** Where in the draft the fault lies, if that can be told: by the error's path, or by its traceback. */
function findPlace({ draft, error }: LaunchProblem): Place | null {
  if (error.path.startsWith("config")) {
    const span = locate(draft.config, error.path) ?? jsonErrorSpan(draft.config, error.message);
    return span === null ? null : { path: CONFIG_PATH, span, line: 0 };
  }
  const frames = [...error.message.matchAll(/File "([^"]+)", line (\d+)/g)].reverse();
  for (const [, file = "", digits = "0"] of frames) {
    const path = [...draft.files.keys()].find((each) => each === file || file.endsWith(`/${each}`));
    if (path !== undefined)
      return { path, span: lineSpan(draft.files.get(path) ?? "", Number(digits)), line: Number(digits) };
  }
  return null;
}

/** V8 says where JSON breaks off: "... at position 12 (line 2 column 3)". */
function jsonErrorSpan(text: string, message: string): Place["span"] | null {
  const position = /position (\d+)/.exec(message)?.[1];
  if (position !== undefined) return { start: Number(position), end: Number(position) + 1 };
  return message.includes("end of JSON input") ? { start: text.length, end: text.length } : null;
}

function lineSpan(text: string, line: number): Place["span"] {
  const lines = text.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  return { start, end: start + (lines[line - 1]?.length ?? 0) };
}

function addFile(draft: Signal<Draft>, path: string): void {
  draft.value = { ...draft.value, files: new Map(draft.value.files).set(path, "") };
}

function tabId(path: string): string {
  return `file-tab-${path}`;
}
