/** The page: its parts side by side where there is room, else one at a time behind tabs. */

import { useSignal, type ReadonlySignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { TargetedKeyboardEvent, VNode } from "preact";
import { usePanel } from "./context.ts";
import { ShortcutsDialog, TerminateDialog } from "./dialogs.tsx";
import { makeDraft, takeDropped } from "./dropped_files.ts";
import { ConnectionBanner, Header, Notices } from "./header.tsx";
import { Inspector } from "./inspector.tsx";
import { ImportDialog } from "./kernel_actions.tsx";
import { LaunchDialog } from "./launch_dialog.tsx";
import { LogPane } from "./log_view.tsx";
import type { PanelModel, Tab } from "./model.ts";
import { RevokeDialog } from "./objects.tsx";
import { Overview } from "./overview.tsx";
import { SendPane } from "./send.tsx";
import { rememberedSize } from "./settings.ts";
import type { Shortcuts } from "./shortcuts.ts";
import { Splitter } from "./splitter.tsx";
import { UpgradeDialog } from "./upgrade_dialog.tsx";

/** Below this the parts no longer fit side by side. */
const SIDE_BY_SIDE = { width: 720, height: 420 } as const;
/** From this on there are three columns. */
const THREE_COLUMNS = 1_080;

const logHeight = rememberedSize("log_height", 260);
const overviewWidth = rememberedSize("overview_width", 420);

type Layout = "tabs" | "two" | "three";

export function App({ shortcuts }: { readonly shortcuts: Shortcuts }): VNode {
  const model = usePanel();
  const layout = useLayout().value;
  return (
    <div
      class={`panel layout-${layout}`}
      onDragOver={(event) => {
        event.preventDefault();
      }}
      onDrop={(event) => {
        event.preventDefault();
        if (event.dataTransfer !== null) void openDropped(model, event.dataTransfer);
      }}
    >
      <Header />
      <ConnectionBanner />
      <Notices />
      {layout === "tabs" ? <Tabs /> : <SideBySide layout={layout} />}
      <OpenDialog shortcuts={shortcuts} />
      <div class="visually-hidden" aria-live="polite">
        {model.announcement.value}
      </div>
    </div>
  );
}

function SideBySide({ layout }: { readonly layout: Layout }): VNode {
  const sizes = `--log-height: ${String(logHeight.value)}px; --overview-width: ${String(overviewWidth.value)}px`;
  return (
    <main class="side-by-side" style={sizes}>
      <div class="work">
        {layout === "three" ? (
          <>
            <Overview />
            <Splitter label="Width of the clusters" between="columns" size={overviewWidth} min={240} max={640} />
            <Inspector />
          </>
        ) : (
          <div class="stack">
            <Overview />
            <Inspector />
          </div>
        )}
        <SendPane />
      </div>
      <Splitter label="Height of the messages" between="rows" size={logHeight} min={90} max={1_200} />
      <LogPane />
    </main>
  );
}

const TABS: readonly (readonly [tab: Tab, label: string])[] = [
  ["clusters", "Clusters"],
  ["send", "Send"],
  ["log", "Messages"],
];

function Tabs(): VNode {
  const model = usePanel();
  const current = model.tab.value;
  const pending = model.sends.records.value.filter(({ outcome }) => outcome.value.kind === "unanswered").length;
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = TABS[(TABS.findIndex(([tab]) => tab === current) + by + TABS.length) % TABS.length];
    if (by === 0 || next === undefined) return;
    event.preventDefault();
    model.tab.value = next[0];
    requestAnimationFrame(() => document.getElementById(`tab-${next[0]}`)?.focus());
  };
  return (
    <main class="tabbed">
      <div role="tablist" aria-label="Parts of the panel" class="tabs" onKeyDown={onKeyDown}>
        {TABS.map(([tab, label]) => (
          <button
            key={tab}
            id={`tab-${tab}`}
            type="button"
            role="tab"
            aria-selected={tab === current}
            aria-controls="tab-panel"
            tabIndex={tab === current ? 0 : -1}
            onClick={() => {
              model.tab.value = tab;
            }}
          >
            {label}
            {tab === "send" && pending > 0 && <span class="count"> {pending}</span>}
          </button>
        ))}
      </div>
      <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${current}`} class={`tab-panel ${current}`}>
        {current === "clusters" && (
          <>
            <Overview />
            <Inspector />
          </>
        )}
        {current === "send" && <SendPane />}
        {current === "log" && <LogPane />}
      </div>
    </main>
  );
}

function OpenDialog({ shortcuts }: { readonly shortcuts: Shortcuts }): VNode | null {
  const model = usePanel();
  const close = (): void => {
    model.dialog.value = { kind: "none" };
  };
  const dialog = model.dialog.value;
  switch (dialog.kind) {
    case "none":
      return null;
    case "launch":
      return <LaunchDialog draft={dialog.draft} onClose={close} />;
    case "terminate":
      return <TerminateDialog what={dialog.what} id={dialog.id} name={dialog.name} onClose={close} />;
    case "upgrade":
      return <UpgradeDialog vat={dialog.vat} name={dialog.name} onClose={close} />;
    case "revoke":
      return <RevokeDialog kref={dialog.kref} iface={dialog.iface} onClose={close} />;
    case "import":
      return <ImportDialog file={dialog.file} onClose={close} />;
    case "shortcuts":
      return <ShortcutsDialog shortcuts={shortcuts} onClose={close} />;
  }
}

async function openDropped(model: PanelModel, transfer: DataTransfer): Promise<void> {
  try {
    const draft = await makeDraft(await takeDropped(transfer), { config: "", files: new Map() });
    model.dialog.value = { kind: "launch", draft };
  } catch (error) {
    model.notify("What was dropped cannot be launched", error instanceof Error ? error.message : String(error));
  }
}

function measure(): Layout {
  const { clientWidth, clientHeight } = document.documentElement;
  if (clientWidth < SIDE_BY_SIDE.width || clientHeight < SIDE_BY_SIDE.height) return "tabs";
  return clientWidth < THREE_COLUMNS ? "two" : "three";
}

function useLayout(): ReadonlySignal<Layout> {
  const layout = useSignal(measure());
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      layout.value = measure();
    });
    observer.observe(document.documentElement);
    return () => {
      observer.disconnect();
    };
  }, [layout]);
  return layout;
}
