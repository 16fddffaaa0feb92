import { byId } from "./page.js";

/** Requests to the server, repeated until it answers. */

/** The server refused a request; the message can be shown. */
export class Refusal extends Error {
  /** @param {number} status of HTTP @param {string} message @param {Item | null} item the current photo, if the request was based on an old version */
  constructor(status, message, item) {
    super(message);
    this.status = status;
    this.item = item;
  }
}

/** The server did not answer; the same request may succeed later. */
class Unreachable extends Error {}

/**
 * One photo of the batch; docs/review-api.md explains the fields.
 *
 * @typedef {"open" | "accepted" | "corrected" | "rejected" | "failed"} State
 * @typedef {{page: string, thumbnail: string, photo: string, alpha: string | null, predicted: string | null, heat: string | null}} Urls
 * @typedef {{id: number, place: string, name: string, garment: string, view: string, width: number | null, height: number | null,
 *   doubt: number | null, verdict: "" | "accept" | "review", reasons: string[], reason: string, state: State, version: number, note: string,
 *   has_draft: boolean, has_alpha: boolean, undelivered: string, seconds: number, changed_by: string, changed_at: string | null, urls: Urls}} Item
 * @typedef {Item & {siblings: Item[], previous: number | null, next: number | null, position: number, total: number, revision: number}} PlacedItem
 * @typedef {{revision: number, items: Item[], counts: Record<State, number>, running: boolean, more: boolean}} Change
 */

/** @typedef {{method?: string, json?: unknown, png?: Blob}} Content of a request */

const TIMEOUT_MS = 60_000;
const POLL_MS = 2000;
const WAITS_MS = [500, 1000, 2000, 3000, 5000];
const PERSON_KEY = "garmentcut-person";

let waiting = 0; // number of requests without an answer

/** Name of the person; empty if not given. */
export function person() {
  return localStorage.getItem(PERSON_KEY) ?? "";
}

/** @param {string} name */
export function setPerson(name) {
  localStorage.setItem(PERSON_KEY, name.trim().slice(0, 80));
}

/** @param {string} path @param {Content} [content] @returns {Promise<any>} @throws {Refusal} */
export function askJson(path, content) {
  return insist(path, (answer) => answer.json(), content);
}

/** @param {string} path @returns {Promise<Blob>} @throws {Refusal} */
export function askBlob(path) {
  return insist(path, (answer) => answer.blob());
}

/** While the page is visible, ask every two seconds what changed, by `cut` or by others. @param {number} revision that the page is up to date with @param {(change: Change) => void} tell */
export async function watchChanges(revision, tell) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (document.hidden) continue;
    const change = await askJson(`/api/changes?since=${revision}`).catch(() => null); // an error, such as 500, may be temporary
    if (!change) continue;
    revision = change.revision;
    tell(change);
  }
}

/** Send a request once. @throws {Refusal | Unreachable} */
async function ask(path, read, { method = "GET", json, png } = {}) {
  const headers = {};
  if (method !== "GET") headers["X-Garmentcut-Token"] = document.querySelector("meta[name=garmentcut-token]")?.getAttribute("content") ?? "";
  if (method !== "GET" && person()) headers["X-Garmentcut-Person"] = encodeURIComponent(person());
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (png) headers["Content-Type"] = "image/png";
  const request = { method, headers, body: png ?? JSON.stringify(json), signal: AbortSignal.timeout(TIMEOUT_MS) };
  const answer = await fetch(path, request).catch(() => {
    throw new Unreachable("The server does not respond.");
  });
  if ([502, 503, 504].includes(answer.status)) throw new Unreachable("The server is busy.");
  if (!answer.ok) {
    const { error, item } = await answer.json().catch(() => ({}));
    throw new Refusal(answer.status, (error ?? `The server answered ${answer.status}`).replace(/\.?$/, "."), item ?? null);
  }
  return read(answer).catch(() => {
    throw new Unreachable("The server's answer was cut short.");
  });
}

/** Repeat a request until the server answers; a banner is shown meanwhile. */
async function insist(...request) {
  let failures = 0;
  try {
    for (;;) {
      try {
        return await ask(...request);
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        if (failures === 0) tellWaiting(1);
        await pause(WAITS_MS[Math.min(failures++, WAITS_MS.length - 1)]);
      }
    }
  } finally {
    if (failures) tellWaiting(-1);
  }
}

/** @param {1 | -1} more change in the number of requests that wait for the server */
function tellWaiting(more) {
  waiting += more;
  byId("connection").hidden = waiting === 0;
}

/** Wait for some time, or until the browser is online again or the user presses "try now". */
function pause(time_ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, time_ms);
    for (const [target, kind] of [[window, "online"], [byId("connection-retry"), "click"]]) target.addEventListener(kind, resolve, { once: true });
  });
}
