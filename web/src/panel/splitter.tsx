/** A bar between two parts of the page that is moved with the pointer or the arrow keys. */

import type { Signal } from "@preact/signals";
import type { TargetedKeyboardEvent, TargetedPointerEvent, VNode } from "preact";

const STEP_PX = 24;

interface SplitterProps {
  readonly label: string;
  /** "rows" moves up and down, "columns" left and right. */
  readonly between: "rows" | "columns";
  /** The size of the part after the bar ("rows") or before it ("columns"). */
  readonly size: Signal<number>;
  readonly min: number;
  readonly max: number;
}

export function Splitter({ label, between, size, min, max }: SplitterProps): VNode {
  const set = (px: number): void => {
    size.value = Math.round(Math.max(min, Math.min(max, px)));
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const [more, less] = between === "rows" ? ["ArrowUp", "ArrowDown"] : ["ArrowRight", "ArrowLeft"];
    if (event.key === more) set(size.value + STEP_PX);
    else if (event.key === less) set(size.value - STEP_PX);
    else if (event.key === "Home") set(min);
    else if (event.key === "End") set(max);
    else return;
    event.preventDefault();
  };
  const onPointerDown = (event: TargetedPointerEvent<HTMLElement>): void => {
    event.preventDefault();
    const bar = event.currentTarget;
    bar.setPointerCapture(event.pointerId);
    const start = between === "rows" ? event.clientY : event.clientX;
    const startSize = size.value;
    const move = (moved: PointerEvent): void => {
      set(between === "rows" ? startSize - (moved.clientY - start) : startSize + moved.clientX - start);
    };
    bar.addEventListener("pointermove", move);
    bar.addEventListener(
      "lostpointercapture",
      () => {
        bar.removeEventListener("pointermove", move);
      },
      { once: true },
    );
  };
  return (
    <div
      class={`splitter ${between}`}
      role="separator"
      aria-label={label}
      aria-orientation={between === "rows" ? "horizontal" : "vertical"}
      aria-valuenow={size.value}
      aria-valuemin={min}
      aria-valuemax={max}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onPointerDown={onPointerDown}
    />
  );
}
