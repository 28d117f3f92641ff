/** The field for a message's target: a reference typed in, or picked from the objects that are known. */

import { useSignal, type Signal } from "@preact/signals";
import type { TargetedKeyboardEvent, VNode } from "preact";
import { usePanel } from "./context.ts";
import type { KernelObject } from "./api.ts";

const OPTIONS_SHOWN = 50;

export function TargetPicker({ value }: { readonly value: Signal<string> }): VNode {
  const model = usePanel();
  const isOpen = useSignal(false);
  const active = useSignal(-1);
  const options = isOpen.value
    ? findOptions(model.targets.value, value.value, (vat) => model.findVat(vat)?.name ?? "")
    : [];
  const known = model.describeRef(value.value);

  const pick = (option: KernelObject | undefined): void => {
    if (option !== undefined) value.value = option.kref;
    isOpen.value = false;
    active.value = -1;
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLInputElement>): void => {
    switch (event.key) {
      case "ArrowDown":
      case "ArrowUp":
        if (!isOpen.value) isOpen.value = true;
        else active.value = step(active.value, event.key === "ArrowDown" ? 1 : -1, options.length);
        break;
      case "Enter":
        if (!isOpen.value || active.value < 0) return;
        pick(options[active.value]);
        break;
      case "Escape":
        if (!isOpen.value) return;
        isOpen.value = false;
        active.value = -1;
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <>
      <div class="field target">
        <label for="send-target">Target</label>
        <div class="picker">
          <input
            id="send-target"
            class="mono"
            role="combobox"
            aria-expanded={options.length > 0}
            aria-controls="target-options"
            aria-autocomplete="list"
            aria-describedby="target-known"
            aria-activedescendant={active.value >= 0 ? `target-option-${String(active.value)}` : undefined}
            autocomplete="off"
            spellcheck={false}
            required
            placeholder="ko…"
            value={value.value}
            onInput={(event) => {
              value.value = event.currentTarget.value;
              isOpen.value = true;
              active.value = -1;
            }}
            onFocus={(event) => {
              event.currentTarget.select();
            }}
            onClick={() => {
              isOpen.value = true;
            }}
            onBlur={() => {
              isOpen.value = false;
              active.value = -1;
            }}
            onKeyDown={onKeyDown}
          />
          <ul id="target-options" role="listbox" aria-label="Objects" hidden={options.length === 0}>
            {options.map((option, index) => (
              <li
                key={option.kref}
                id={`target-option-${String(index)}`}
                role="option"
                aria-selected={index === active.value}
                // Before the field loses the focus.
                onMouseDown={(event) => {
                  event.preventDefault();
                  pick(option);
                }}
              >
                <code>{option.kref}</code> <span>{option.iface}</span>
                <span class="muted">{model.findVat(option.vat)?.name ?? option.vat}</span>
              </li>
            ))}
          </ul>
        </div>
      </div>
      <span id="target-known" class="hint" title={known}>
        {known}
      </span>
    </>
  );
}

/** From none (-1) through the options and back. */
function step(index: number, by: number, count: number): number {
  return ((index + 1 + by + count + 1) % (count + 1)) - 1;
}

function findOptions(
  targets: readonly KernelObject[],
  text: string,
  vatName: (vat: string) => string,
): readonly KernelObject[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  // A reference that is complete already narrows nothing: the others are shown to change to.
  const isPicked = targets.some(({ kref }) => kref === text);
  const matches = isPicked
    ? targets
    : targets.filter(({ kref, iface, vat }) => {
        const searched = `${kref} ${iface} ${vatName(vat)}`.toLowerCase();
        return words.every((word) => searched.includes(word));
      });
  return matches.slice(0, OPTIONS_SHOWN);
}
