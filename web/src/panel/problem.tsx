/** Errors, shown whole: what happened, where, why, and the text as it came. */

import { Fragment, type ComponentChildren, type VNode } from "preact";
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
  /** What vats printed about it, and where. */
  readonly reports?: readonly { readonly where: string; readonly text: string }[];
  /** Further buttons. */
  readonly children?: ComponentChildren;
}

export function Problem({ text, title = "", path = "", kind = "", reports = [], children }: ProblemProps): VNode {
  // The kernel's messages begin with the path; it is shown by itself.
  const message = path !== "" && text.startsWith(`${path}: `) ? text.slice(path.length + 2) : text;
  const [first, ...causes] = parseFailures(message);
  const whole = path === "" || message === text ? text : `${path}: ${message}`;
  return (
    <div class="problem" role="group" aria-label={title === "" ? "Error" : title}>
      {title !== "" && <strong class="problem-title">{title}</strong>}
      {first !== undefined && <OneFailure failure={first} />}
      <Causes causes={causes} />
      {reports.map(({ where, text: report }) => (
        <Fragment key={where}>
          <span class="relation">{where}</span>
          <Report text={report} />
        </Fragment>
      ))}
      <div class="problem-foot">
        {path !== "" && (
          <span>
            at <code class="path">{path}</code>
          </span>
        )}
        {kind !== "" && <span class="muted">{kind}</span>}
        <span class="spring" />
        {children}
        <CopyButton
          text={[whole, ...reports.map(({ where, text: report }) => `${where}:\n${report}`)].join("\n\n")}
          label="Copy error"
        />
      </div>
    </div>
  );
}

function Report({ text }: { readonly text: string }): VNode {
  const [first, ...causes] = parseFailures(text);
  return (
    <>
      {first !== undefined && <Traceback text={first.traceback === "" ? first.summary : first.traceback} />}
      <Causes causes={causes} />
    </>
  );
}

function Causes({ causes }: { readonly causes: readonly Failure[] }): VNode | null {
  if (causes.length === 0) return null;
  return (
    <ol class="causes" aria-label="Causes">
      {causes.map((cause, index) => (
        <li key={index}>
          <span class="relation">{cause.relation}</span>
          <OneFailure failure={cause} />
        </li>
      ))}
    </ol>
  );
}

function OneFailure({ failure }: { readonly failure: Failure }): VNode {
  return (
    <>
      <p class="problem-summary">
        <RefText text={failure.summary} />
      </p>
      {failure.traceback !== "" && <Traceback text={failure.traceback} />}
    </>
  );
}

/** Scrolls by itself, so it takes the focus. */
function Traceback({ text }: { readonly text: string }): VNode {
  return (
    <pre class="traceback" tabIndex={0} role="region" aria-label="Traceback">
      {text}
    </pre>
  );
}
