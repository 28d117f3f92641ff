/**
 * One kernel per profile: whoever starts one first takes a lock, which only one worker or page of an origin can hold.
 *
 * A worker that has the lock keeps it until it ends. While a new version of the extension takes over, two workers may live
 * at once: the later one waits until the earlier one is gone.
 */

const LOCK = "kernel_py";

const WAIT_MS_MAX = 10_000;

/** The lock of this worker or page. */
let held: Promise<void> | null = null;

/**
 * Resolves once no other kernel runs.
 *
 * `onLost` is called if somebody takes the lock away, which nothing here does. Throws if another kernel goes on.
 */
export function becomeOnlyKernel(onLost: () => void): Promise<void> {
  held ??= takeLock(onLost);
  return held;
}

async function takeLock(onLost: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let isHeld = false;
    const options = { signal: AbortSignal.timeout(WAIT_MS_MAX) };
    const ended = navigator.locks.request(LOCK, options, () => {
      isHeld = true;
      resolve();
      return new Promise<never>(() => undefined);
    });
    ended.catch(() => {
      held = null;
      if (isHeld) onLost();
      reject(new Error("another kernel of this profile is running: close what runs it, and try again"));
    });
  });
}
