import { Unreachable } from "./server.js";

const WAITS_MS = [500, 1000, 2000, 3000, 5000];

let waiting = 0; // requests that have had no answer yet
/** @type {(() => void)[]} */
let impatient = [];

/**
 * Ask until the server answers; a banner says so meanwhile.
 *
 * @template T
 * @param {() => Promise<T>} request
 * @returns {Promise<T>}
 */
export async function insist(request) {
  let failures = 0;
  try {
    for (;;) {
      try {
        return await request();
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        if (failures === 0) showLost(++waiting);
        await pause(WAITS_MS[Math.min(failures++, WAITS_MS.length - 1)]);
      }
    }
  } finally {
    if (failures) showLost(--waiting);
  }
}

/** True while some request waits for the server to come back. */
export function isLost() {
  return waiting > 0;
}

/** @param {number} requests that wait */
function showLost(requests) {
  const banner = document.getElementById("connection");
  if (banner) banner.hidden = requests === 0;
}

/** Wait, or until the browser says it is online again, or somebody presses "try now". @param {number} time_ms */
function pause(time_ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, time_ms);
    impatient.push(() => (clearTimeout(timer), resolve(undefined)));
  });
}

/** Try all that wait at once. */
export function tryNow() {
  for (const wake of impatient) wake();
  impatient = [];
}

/** Let the banner's button and the browser's own news hurry the next try. */
export function watchConnection() {
  document.getElementById("connection-retry")?.addEventListener("click", tryNow);
  addEventListener("online", tryNow);
}
