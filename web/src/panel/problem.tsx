/** Errors, shown whole: what happened, where, why, and the text as it came. */

import type { ComponentChildren, VNode } from "preact";
import { CopyButton, RefText } from "./parts.tsx";
import { parseFailures, type Failure } from "./traceback.ts";

interface ProblemProps {
  /** The error's text, with tracebacks and causes if it has any. */
  readonly text: string;
  /** Said before the text. */
  readonly title?: string;
  /** Where in a request the fault lies; or "". */
  readonly path?: string;
  /** The kernel's class of error. */
  readonly kind?: string;
  /** Further buttons. */
  readonly children?: ComponentChildren;
}

export function Problem({ text, title = "", path = "", kind = "", children }: ProblemProps): VNode {
  // The kernel's messages begin with the path; it is shown by itself.
  const message = path !== "" && text.startsWith(`${path}: `) ? text.slice(path.length + 2) : text;
  const [first, ...causes] = parseFailures(message);
  return (
    <div class="problem" role="group" aria-label={title === "" ? "Error" : title}>
      {title !== "" && <strong class="problem-title">{title}</strong>}
      {first !== undefined && <OneFailure failure={first} />}
      {causes.length > 0 && (
        <ol class="causes" aria-label="Causes">
          {causes.map((cause, index) => (
            <li key={index}>
              <span class="relation">{cause.relation}</span>
              <OneFailure failure={cause} />
            </li>
          ))}
        </ol>
      )}
      <div class="problem-foot">
        {path !== "" && (
          <span>
            at <code class="path">{path}</code>
          </span>
        )}
        {kind !== "" && <span class="muted">{kind}</span>}
        <span class="spring" />
        {children}
        <CopyButton text={path === "" || message === text ? text : `${path}: ${message}`} label="Copy error" />
      </div>
    </div>
  );
}

function OneFailure({ failure }: { readonly failure: Failure }): VNode {
  return (
    <>
      <p class="problem-summary">
        <RefText text={failure.summary} />
      </p>
      {failure.traceback !== "" && (
        // Scrolls by itself, so it takes the focus.
        <pre class="traceback" tabIndex={0} role="region" aria-label="Traceback">
          {failure.traceback}
        </pre>
      )}
    </>
  );
}
