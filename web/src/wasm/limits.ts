export interface Limits {
  readonly gas_delivery: number;
  readonly stack_slots_max: number;
  readonly body_chars_max: number;
  readonly slots_max: number;
  readonly batch_syscalls_max: number;
  readonly batch_chars_max: number;
  readonly error_chars_max: number;
  readonly console_chars_max: number;
  readonly deliveries_inflight_max: number;
}

/**
 * What bounds a wasm vat here. The figures are those of `kernel_py.wire.limits` and `kernel_py.wasm.limits`, which say why;
 * a test compares. Two hosts that replay the same vat use the same.
 */
export const LIMITS: Limits = {
  gas_delivery: 10_000_000_000,
  stack_slots_max: 32_768,
  body_chars_max: 10_000_000,
  slots_max: 10_000,
  batch_syscalls_max: 100_000,
  batch_chars_max: 50_000_000,
  error_chars_max: 20_000,
  console_chars_max: 100_000,
  deliveries_inflight_max: 32,
};

/** Nesting of JSON, as in `kernel_py.wire.canonical`. */
export const DEPTH_MAX = 400;
