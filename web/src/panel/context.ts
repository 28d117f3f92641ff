/** The model, for every view below. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { PanelModel } from "./model.ts";

export const PanelContext = createContext<PanelModel | null>(null);

export function usePanel(): PanelModel {
  const model = useContext(PanelContext);
  if (model === null) throw new Error("a view is used outside of the panel");
  return model;
}
