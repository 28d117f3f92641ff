/**
 * The panel: one page that drives a kernel, as a DevTools panel, in a tab, or in a plain web page.
 *
 * The shell around it gives the way to the kernel; nothing here knows of an extension.
 */

import "./css/theme.css";
import "./css/controls.css";
import "./css/layout.css";
import "./css/parts.css";
import "./css/send.css";
import "./css/log.css";
import "./css/launch.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { PanelContext } from "./context.ts";
import { PanelModel } from "./model.ts";
import type { Connect } from "./rpc.ts";
import { Shortcuts } from "./shortcuts.ts";

export interface PanelOptions {
  readonly connect: Connect;
  /** DevTools has a theme of its own. Default: what the browser prefers. */
  readonly theme?: "light" | "dark";
}

/** Shows the panel in `element`, and connects it. Returns the way to end it. */
export function mountPanel(element: HTMLElement, { connect, theme }: PanelOptions): () => void {
  if (theme !== undefined) document.documentElement.dataset["theme"] = theme;
  const model = new PanelModel(connect);
  const shortcuts = new Shortcuts(model);
  document.addEventListener("keydown", shortcuts.handle);
  render(
    <PanelContext.Provider value={model}>
      <App shortcuts={shortcuts} />
    </PanelContext.Provider>,
    element,
  );
  model.start();
  return () => {
    document.removeEventListener("keydown", shortcuts.handle);
    render(null, element);
    model.stop();
  };
}
