/** What a collection of garbage has found: rows before and after. */

import type { VNode } from "preact";
import { usePanel } from "./context.ts";
import { formatCount } from "./format.ts";
import { Spinner } from "./parts.tsx";

export function Collected(): VNode | null {
  const { actions } = usePanel();
  const collected = actions.collected.value;
  if (collected === null) return null;
  return (
    <div class="collected" role="status">
      <table class="rows" aria-label="Collected garbage">
        <thead>
          <tr>
            <th scope="col">{collected.isDone ? "Collected" : <Spinner />}</th>
            <th scope="col" class="figure">
              Before
            </th>
            <th scope="col" class="figure">
              After
            </th>
          </tr>
        </thead>
        <tbody>
          {collected.rows.map(([name, before, after]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="figure">{formatCount(before)}</td>
              <td class="figure">{after === null ? "–" : formatCount(after)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {collected.isDone && (
        <button
          type="button"
          class="small"
          aria-label="Dismiss: Collected garbage"
          onClick={() => {
            actions.forget();
          }}
        >
          Dismiss
        </button>
      )}
    </div>
  );
}
